variable "project_id" {
  description = "Project of the topics, the subscriptions and the service accounts: GOOGLE_CLOUD_PROJECT of every process."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "Expected the id of a project, such as example-project: not its name, not its number."
  }
}

variable "topic" {
  description = "Id of the topic: BOTDEL_TOPIC of every process. The other names derive from it."
  type        = string
  default     = "bot-deletion"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,180}$", var.topic))
    error_message = "Expected 3 to 181 of A-Z, a-z, 0-9, '.', '_', '~', '+', '%', '-', the first a letter."
  }
}

variable "services" {
  description = "The services that hold data of bots, as their plans name them. Each gets a subscription and a service account."
  type        = set(string)

  validation {
    condition     = alltrue([for service in var.services : can(regex("^[a-z][a-z0-9-]{1,61}[a-z0-9]$", service))])
    error_message = "Expected names of 3 to 63 of a-z, 0-9 and '-', the first a letter, the last not '-'."
  }

  validation {
    condition     = length(setintersection(var.services, ["dead-letter", "doctor", "ledger"])) == 0
    error_message = "The names dead-letter, doctor and ledger are reserved: the pipeline has subscriptions of these names. Rename the service."
  }
}

variable "kubernetes_namespace" {
  description = "Namespace of the processes: their Kubernetes service accounts may act as the accounts created here. null grants nothing."
  type        = string
  default     = "bot-deletion"
}

variable "workload_pool" {
  description = "Workload Identity pool of the cluster, such as cluster-project.svc.id.goog. null means the one of project_id."
  type        = string
  default     = null
}

variable "scheduler" {
  description = "Lets Cloud Scheduler start the sweeps instead of a cron job: url is the public address of recovery, without a path. null creates nothing."
  type = object({
    url       = string
    region    = string
    schedule  = optional(string, "17 3 * * *")
    time_zone = optional(string, "Etc/UTC")
  })
  default = null

  validation {
    condition     = var.scheduler == null ? true : can(regex("^https://[^/?#@ ]+$", var.scheduler.url))
    error_message = "Expected scheduler.url as https:// and a host, without a path, such as https://recovery.example.org; the call carries a token."
  }
}

variable "alerts" {
  description = "Alert policies on the oldest unacked message of each subscription: from what age, and whom to notify. null creates none."
  type = object({
    oldest_unacked_seconds = optional(number, 1800)
    notification_channels  = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = var.alerts == null ? true : var.alerts.oldest_unacked_seconds >= 300 && var.alerts.oldest_unacked_seconds <= 604800
    error_message = "Expected alerts.oldest_unacked_seconds from 300 to 604800 (a week): messages are kept for 31 days."
  }
}

variable "kms_key_name" {
  description = "Key that encrypts the messages of the topics, projects/P/locations/L/keyRings/R/cryptoKeys/K; Pub/Sub's service agent must be allowed to use it. null uses Google's own keys."
  type        = string
  default     = null
}

variable "allowed_persistence_regions" {
  description = "Regions in which messages may be stored. An empty list means all that the organisation allows."
  type        = list(string)
  default     = []
}

variable "labels" {
  description = "Labels of topics, and of subscriptions when they are created."
  type        = map(string)
  default     = {}

  validation {
    condition     = !contains(keys(var.labels), "botdel-seek")
    error_message = "The label botdel-seek is reserved for the pipeline. Choose another name."
  }
}
