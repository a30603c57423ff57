# A message is recorded within seconds, so an old one means that nobody records messages: a consumer
# does not run, a right is missing, or nobody needs the subscription any more.

locals {
  watched = toset(concat(tolist(var.services), ["ledger", "dead-letter"]))
}

resource "google_monitoring_alert_policy" "oldest_unacked" {
  for_each = var.alerts == null ? toset([]) : local.watched

  project               = var.project_id
  display_name          = "Bot deletion: ${var.topic}.${each.key} is not recorded"
  combiner              = "OR"
  notification_channels = var.alerts.notification_channels

  conditions {
    display_name = "Oldest unacked message of ${var.topic}.${each.key}"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.labels.subscription_id = \"${var.topic}.${each.key}\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.alerts.oldest_unacked_seconds
      duration        = "300s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Nobody records the messages of `${var.topic}.${each.key}`. /readyz of the consumer (of recovery, for ledger and dead-letter) says why; see docs/runbooks/recovery.md. Pub/Sub keeps a message for 31 days."
  }
}
