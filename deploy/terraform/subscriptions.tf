# One subscription for each service, one for the request ledger, and one that keeps dead letters.
#
# The label asks `botdel topology apply` to seek a new subscription back to what its topic still
# keeps; `apply` then removes it. So Terraform writes labels once, and ignores them afterwards.
# A filter cannot be changed: Terraform would recreate the subscription, with the label.

resource "google_pubsub_subscription" "service" {
  for_each = var.services

  project                    = var.project_id
  name                       = "${var.topic}.${each.key}"
  topic                      = google_pubsub_topic.requests.id
  filter                     = "NOT attributes:service OR attributes.service = \"${each.key}\""
  ack_deadline_seconds       = 60
  message_retention_duration = local.retention
  labels                     = merge(var.labels, { botdel-seek = "pending" })

  expiration_policy {
    ttl = "" # never
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letter.id
    max_delivery_attempts = 5
  }

  lifecycle {
    ignore_changes = [labels]
  }
}

# No dead-letter policy: a request stays here until the ledger has recorded it.
resource "google_pubsub_subscription" "ledger" {
  project                    = var.project_id
  name                       = "${var.topic}.ledger"
  topic                      = google_pubsub_topic.requests.id
  filter                     = "NOT attributes:service"
  ack_deadline_seconds       = 60
  message_retention_duration = local.retention
  labels                     = merge(var.labels, { botdel-seek = "pending" })

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  lifecycle {
    ignore_changes  = [labels]
    prevent_destroy = true
  }
}

# A dead-letter topic without a subscription loses its messages.
resource "google_pubsub_subscription" "dead_letter" {
  project                    = var.project_id
  name                       = "${var.topic}.dead-letter"
  topic                      = google_pubsub_topic.dead_letter.id
  ack_deadline_seconds       = 60
  message_retention_duration = local.retention
  labels                     = merge(var.labels, { botdel-seek = "pending" })

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  lifecycle {
    ignore_changes  = [labels]
    prevent_destroy = true
  }
}
