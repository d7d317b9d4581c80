locals {
  workspace_ip_map = {
    "ubuntu" = 1
    "debian" = 6 # moved
  }
}
