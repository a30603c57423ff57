# The pipeline with two services, in a cluster. Keep Terraform's state in a bucket of your own.

terraform {
  required_version = ">= 1.5, < 2.0"
}

provider "google" {
  project = "example-project"
}

module "bot_deletion" {
  source = "../"

  project_id = "example-project"
  services   = ["analytics", "conversations"]

  alerts = {
    notification_channels = ["projects/example-project/notificationChannels/1234567890"]
  }
}

output "service_accounts" {
  value = module.bot_deletion.service_accounts
}
