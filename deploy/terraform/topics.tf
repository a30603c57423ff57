# The three topics. They keep what was published for as long as Pub/Sub allows, for subscriptions that
# are created or recreated later.

locals {
  retention = "2678400s" # 31 days
}

resource "google_pubsub_topic" "requests" {
  project                    = var.project_id
  name                       = var.topic
  message_retention_duration = local.retention
  kms_key_name               = var.kms_key_name
  labels                     = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.allowed_persistence_regions) == 0 ? [] : [var.allowed_persistence_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  lifecycle {
    prevent_destroy = true # the subscriptions of a deleted topic get nothing from one that is recreated
  }
}

resource "google_pubsub_topic" "dead_letter" {
  project                    = var.project_id
  name                       = "${var.topic}.dead-letter"
  message_retention_duration = local.retention
  kms_key_name               = var.kms_key_name
  labels                     = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.allowed_persistence_regions) == 0 ? [] : [var.allowed_persistence_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_pubsub_topic" "completed" {
  project                    = var.project_id
  name                       = "${var.topic}.completed"
  message_retention_duration = local.retention
  kms_key_name               = var.kms_key_name
  labels                     = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.allowed_persistence_regions) == 0 ? [] : [var.allowed_persistence_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}
