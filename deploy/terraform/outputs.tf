output "subscriptions" {
  description = "The subscription of each service."
  value       = { for service, subscription in google_pubsub_subscription.service : service => subscription.name }
}

output "completed_topic" {
  description = "Where recovery announces each request that is settled. Create your own subscription to it."
  value       = google_pubsub_topic.completed.id
}

output "service_accounts" {
  description = "E-mail addresses of the accounts: for the annotation iam.gke.io/gcp-service-account, and to grant rights on what a plan deletes."
  value = merge(
    {
      gateway  = google_service_account.gateway.email
      recovery = google_service_account.recovery.email
      console  = google_service_account.console.email
      topology = google_service_account.topology.email
    },
    { for service, account in google_service_account.consumer : "consumer-${service}" => account.email },
    { for service, account in google_service_account.topology_service : "topology-${service}" => account.email },
  )
}

output "recovery_settings" {
  description = "Settings that let recovery accept the calls of Cloud Scheduler."
  value = var.scheduler == null ? {} : {
    BOTDEL_RECOVERY_OIDC_AUDIENCE = var.scheduler.url
    BOTDEL_RECOVERY_OIDC_EMAILS   = google_service_account.cron[0].email
  }
}
