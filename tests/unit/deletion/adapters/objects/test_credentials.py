"""A hiccup of what hands out credentials is no refusal: only the provider's own answer is one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    UnauthorizedSSOTokenError,
)
from google.api_core.exceptions import Forbidden, GoogleAPICallError, Unauthorized
from google.auth.exceptions import (
    DefaultCredentialsError,
    GoogleAuthError,
    RefreshError,
    TransportError,
)

from deletion.adapters.objects.gcs_listers import Api
from deletion.adapters.objects.s3_listers import translated
from deletion.errors import ObjectsRefused, ObjectsUnavailable, PermanentError

SECRET = "token=hunter22"


def answered(code: str, status: int, operation: str = "ListObjectVersions") -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


@pytest.mark.proves("credentials-hiccup")
@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        MetadataRetrievalError(error_msg="timed out"),
        CredentialRetrievalError(provider="process", error_msg=SECRET),
        UnauthorizedSSOTokenError(),
        answered("ExpiredToken", 400),
        answered("RequestTimeTooSkewed", 403),
        answered("TokenRefreshRequired", 400),
        answered("ExpiredTokenException", 400, "AssumeRoleWithWebIdentity"),
        answered("IDPCommunicationError", 400, "AssumeRoleWithWebIdentity"),
        answered("Unauthorized", 401),
    ],
)
def test_credentials_of_aws_that_cannot_be_had_may_be_had_later(
    error: BotoCoreError | ClientError,
) -> None:
    why = translated("s3://media", error)
    assert isinstance(why, ObjectsUnavailable)
    assert SECRET not in str(why)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
@pytest.mark.parametrize("operation", ["ListObjectVersions", "AssumeRoleWithWebIdentity"])
def test_what_aws_denies_is_refused(code: str, operation: str) -> None:
    assert isinstance(translated("s3://media", answered(code, 403, operation)), PermanentError)


async def asked(error: GoogleAPICallError | GoogleAuthError) -> None:
    def call() -> None:
        raise error

    await Api("gs://media", ThreadPoolExecutor(1), 10).call(call)


@pytest.mark.proves("credentials-hiccup")
@pytest.mark.parametrize(
    "error",
    [
        RefreshError("503 metadata server", SECRET),  # type: ignore[no-untyped-call]
        TransportError("no route"),  # type: ignore[no-untyped-call]
        DefaultCredentialsError(SECRET),  # type: ignore[no-untyped-call]
        Unauthorized("expired"),  # type: ignore[no-untyped-call]
    ],
)
async def test_credentials_of_google_that_cannot_be_had_may_be_had_later(
    error: GoogleAPICallError | GoogleAuthError,
) -> None:
    with pytest.raises(ObjectsUnavailable) as why:
        await asked(error)
    assert SECRET not in str(why.value)


async def test_what_google_denies_is_refused() -> None:
    with pytest.raises(ObjectsRefused, match=r"storage\.objects.delete"):
        await asked(Forbidden("no"))  # type: ignore[no-untyped-call]
