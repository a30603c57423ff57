# ruff: noqa: N815 - the fields are named as in the resources
"""The kinds that Kubernetes itself does not have: the fields of them that are used here."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Metadata(_Strict):
    name: str
    namespace: str
    labels: dict[str, str] = Field(default_factory=dict)


class _Target(_Strict):
    name: str


class _Fallback(_Strict):
    """https://keda.sh/docs/latest/reference/scaledobject-spec/#fallback."""

    failureThreshold: int = Field(ge=0)
    replicas: int = Field(ge=0)
    behavior: Literal[
        "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
    ]


class _ScalingPolicy(_Strict):
    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    periodSeconds: int = Field(gt=0, le=1800)


class _ScalingRules(_Strict):
    stabilizationWindowSeconds: int = Field(ge=0, le=3600)
    policies: list[_ScalingPolicy] = Field(min_length=1)


class _Behavior(_Strict):
    scaleDown: _ScalingRules


class _HorizontalPodAutoscaler(_Strict):
    behavior: _Behavior


class _Advanced(_Strict):
    horizontalPodAutoscalerConfig: _HorizontalPodAutoscaler


class _PrometheusQuery(_Strict):
    """https://keda.sh/docs/latest/scalers/prometheus/; KEDA reads every value as text."""

    serverAddress: str = Field(pattern=r"^https?://")
    query: str
    threshold: str = Field(pattern=r"^[0-9.]+$")
    ignoreNullValues: Literal["true", "false"]


class _Trigger(_Strict):
    type: Literal["prometheus"]
    metricType: Literal["AverageValue"]  # a fallback works with no other
    metadata: _PrometheusQuery


class ScaledObjectSpec(_Strict):
    """https://keda.sh/docs/latest/reference/scaledobject-spec/."""

    scaleTargetRef: _Target
    minReplicaCount: int = Field(ge=0)
    maxReplicaCount: int = Field(ge=1)
    fallback: _Fallback
    advanced: _Advanced
    triggers: list[_Trigger] = Field(min_length=1)


class _Expression(_Strict):
    key: str
    operator: Literal["In"]
    values: list[str]


class _Selector(_Strict):
    matchLabels: dict[str, str]
    matchExpressions: list[_Expression]


class _Endpoint(_Strict):
    port: str
    path: str
    interval: str = Field(pattern=r"^[0-9]+s$")
    honorLabels: bool


class PodMonitorSpec(_Strict):
    """https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor."""

    selector: _Selector
    podMetricsEndpoints: list[_Endpoint] = Field(min_length=1)


class ScaledObject(_Strict):
    """Of KEDA."""

    apiVersion: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: _Metadata
    spec: ScaledObjectSpec


class PodMonitor(_Strict):
    """Of the Prometheus operator."""

    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    metadata: _Metadata
    spec: PodMonitorSpec


KINDS: Final[Mapping[str, type[ScaledObject] | type[PodMonitor]]] = {
    "ScaledObject": ScaledObject,
    "PodMonitor": PodMonitor,
}


def check(manifest: Mapping[str, Any]) -> None:
    """Raises `ValidationError`, or `KeyError` for a kind that is not in `KINDS`."""
    KINDS[manifest["kind"]].model_validate(manifest)
