# A service account for each process, and the Kubernetes service account that may act as it.

locals {
  workload_pool = var.workload_pool == null ? "${var.project_id}.svc.id.goog" : var.workload_pool

  # An id has at most 30 characters: botdel-consumer- or botdel-topology-, and 14 more. A longer name
  # is cut and ends in a hash, so that ids differ.
  short_names = {
    for service in var.services : service =>
    length(service) <= 14 ? service : "${substr(service, 0, 5)}-${substr(sha256(service), 0, 8)}"
  }
}

resource "google_service_account" "gateway" {
  project      = var.project_id
  account_id   = "botdel-gateway"
  display_name = "Bot deletion: gateway"
}

resource "google_service_account" "consumer" {
  for_each = var.services

  project      = var.project_id
  account_id   = "botdel-consumer-${local.short_names[each.key]}"
  display_name = "Bot deletion: consumer of ${each.key}"
}

resource "google_service_account" "recovery" {
  project      = var.project_id
  account_id   = "botdel-recovery"
  display_name = "Bot deletion: recovery"
}

resource "google_service_account" "console" {
  project      = var.project_id
  account_id   = "botdel-console"
  display_name = "Bot deletion: console"
}

resource "google_service_account" "topology" {
  project      = var.project_id
  account_id   = "botdel-topology"
  display_name = "Bot deletion: topology apply of the pipeline"
}

resource "google_service_account" "topology_service" {
  for_each = var.services

  project      = var.project_id
  account_id   = "botdel-topology-${local.short_names[each.key]}"
  display_name = "Bot deletion: topology apply of ${each.key}"
}

# It has no rights on Google Cloud: recovery allows its e-mail address.
resource "google_service_account" "cron" {
  count = var.scheduler == null ? 0 : 1

  project      = var.project_id
  account_id   = "botdel-cron"
  display_name = "Bot deletion: starts the sweeps of recovery"
}

resource "google_service_account_iam_member" "gateway" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.gateway.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-gateway]"
}

resource "google_service_account_iam_member" "consumer" {
  for_each = var.kubernetes_namespace == null ? toset([]) : var.services

  service_account_id = google_service_account.consumer[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-consumer-${each.key}]"
}

resource "google_service_account_iam_member" "recovery" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.recovery.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-recovery]"
}

resource "google_service_account_iam_member" "console" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.console.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-console]"
}

resource "google_service_account_iam_member" "topology" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.topology.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-topology]"
}

resource "google_service_account_iam_member" "topology_service" {
  for_each = var.kubernetes_namespace == null ? toset([]) : var.services

  service_account_id = google_service_account.topology_service[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${local.workload_pool}[${var.kubernetes_namespace}/botdel-topology-${each.key}]"
}
