# What each process may do, on the topic or subscription itself, never on the project.

# --- the gateway publishes; while it is idle, /readyz checks that the topic exists

resource "google_pubsub_topic_iam_member" "gateway" {
  for_each = toset(["roles/pubsub.publisher", "roles/pubsub.viewer"])

  project = var.project_id
  topic   = google_pubsub_topic.requests.name
  role    = each.key
  member  = google_service_account.gateway.member
}

# --- a consumer pulls from its own subscription, and checks that it belongs to the topic

resource "google_pubsub_subscription_iam_member" "consumer_pulls" {
  for_each = var.services

  project      = var.project_id
  subscription = google_pubsub_subscription.service[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.consumer[each.key].member
}

resource "google_pubsub_subscription_iam_member" "consumer_looks" {
  for_each = var.services

  project      = var.project_id
  subscription = google_pubsub_subscription.service[each.key].name
  role         = "roles/pubsub.viewer"
  member       = google_service_account.consumer[each.key].member
}

resource "google_pubsub_topic_iam_member" "consumer_looks" {
  for_each = var.services

  project = var.project_id
  topic   = google_pubsub_topic.requests.name
  role    = "roles/pubsub.viewer"
  member  = google_service_account.consumer[each.key].member
}

# --- recovery records dead letters and requests, publishes again what is missing, and announces
#     what is completed

resource "google_pubsub_subscription_iam_member" "recovery_dead_letter" {
  for_each = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])

  project      = var.project_id
  subscription = google_pubsub_subscription.dead_letter.name
  role         = each.key
  member       = google_service_account.recovery.member
}

resource "google_pubsub_subscription_iam_member" "recovery_ledger" {
  for_each = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])

  project      = var.project_id
  subscription = google_pubsub_subscription.ledger.name
  role         = each.key
  member       = google_service_account.recovery.member
}

resource "google_pubsub_topic_iam_member" "recovery_requests" {
  for_each = toset(["roles/pubsub.publisher", "roles/pubsub.viewer"])

  project = var.project_id
  topic   = google_pubsub_topic.requests.name
  role    = each.key
  member  = google_service_account.recovery.member
}

resource "google_pubsub_topic_iam_member" "recovery_completed" {
  for_each = toset(["roles/pubsub.publisher", "roles/pubsub.viewer"])

  project = var.project_id
  topic   = google_pubsub_topic.completed.name
  role    = each.key
  member  = google_service_account.recovery.member
}

# --- the console replays dead letters, after a check that their subscription belongs to the topic

resource "google_pubsub_topic_iam_member" "console_replays" {
  project = var.project_id
  topic   = google_pubsub_topic.requests.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.console.member
}

resource "google_pubsub_subscription_iam_member" "console_looks" {
  for_each = var.services

  project      = var.project_id
  subscription = google_pubsub_subscription.service[each.key].name
  role         = "roles/pubsub.viewer"
  member       = google_service_account.console.member
}

# --- topology apply of the pipeline compares what is its own, seeks a new subscription back, and
#     removes its label; it lists the subscriptions of the topic

resource "google_pubsub_topic_iam_member" "topology_requests" {
  project = var.project_id
  topic   = google_pubsub_topic.requests.name
  role    = "roles/pubsub.viewer"
  member  = google_service_account.topology.member
}

resource "google_pubsub_topic_iam_member" "topology_dead_letter" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letter.name
  role    = "roles/pubsub.viewer"
  member  = google_service_account.topology.member
}

resource "google_pubsub_topic_iam_member" "topology_completed" {
  project = var.project_id
  topic   = google_pubsub_topic.completed.name
  role    = "roles/pubsub.viewer"
  member  = google_service_account.topology.member
}

resource "google_pubsub_subscription_iam_member" "topology_ledger" {
  project      = var.project_id
  subscription = google_pubsub_subscription.ledger.name
  role         = "roles/pubsub.editor"
  member       = google_service_account.topology.member
}

resource "google_pubsub_subscription_iam_member" "topology_dead_letter" {
  project      = var.project_id
  subscription = google_pubsub_subscription.dead_letter.name
  role         = "roles/pubsub.editor"
  member       = google_service_account.topology.member
}

# --- topology apply of a service, which may run code of its team, does the same with its own
#     subscription alone

resource "google_pubsub_subscription_iam_member" "topology_service" {
  for_each = var.services

  project      = var.project_id
  subscription = google_pubsub_subscription.service[each.key].name
  role         = "roles/pubsub.editor"
  member       = google_service_account.topology_service[each.key].member
}

# --- Pub/Sub itself moves messages to the dead-letter topic, and acks them at the source:
#     https://cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions

data "google_project" "this" {
  project_id = var.project_id
}

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "agent_forwards" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letter.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_acks" {
  for_each = var.services

  project      = var.project_id
  subscription = google_pubsub_subscription.service[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
