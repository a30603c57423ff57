# Starts a sweep as botdel-cron, with a token that Google signs. Recovery answers at once; its metrics
# show how the sweep ended.

resource "google_cloud_scheduler_job" "sweeps" {
  count = var.scheduler == null ? 0 : 1

  project          = var.project_id
  region           = var.scheduler.region
  name             = "botdel-sweeps"
  description      = "Starts a sweep of recovery; any interval is safe"
  schedule         = var.scheduler.schedule
  time_zone        = var.scheduler.time_zone
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
  }

  http_target {
    http_method = "POST"
    uri         = "${var.scheduler.url}/v1/recovery/sweeps"

    oidc_token {
      service_account_email = google_service_account.cron[0].email
      audience              = var.scheduler.url
    }
  }
}
