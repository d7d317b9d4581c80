variable "vm_domain" {
  description = "Domain of the machines"
  type        = string
  default     = ".site.test" # with its dot
}

variable "vm_memory_dedicated" {
  type    = number
  default = 4096
}
