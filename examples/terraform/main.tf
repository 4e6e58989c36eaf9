# A runner on a machine that Terraform makes. The config goes to the machine over the connection's standard input: it is in
# no state file, no plan and on no command line.

variable "rts_url" {
  type        = string
  description = "Address of the service."
}

variable "token_file" {
  type        = string
  description = "File with an OIDC token that Terraform's own pipeline has."
}

variable "start" {
  type        = string
  description = "Command that starts the runner on the machine and reads the config from its standard input."
  default     = "ssh -o BatchMode=yes runner@machine.example.com start-runner"
}

variable "run" {
  type        = string
  description = "Another value makes another runner."
}

resource "null_resource" "runner" {
  triggers = {
    run = var.run
  }

  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-eu", "-c"]
    environment = {
      RTS_URL        = var.rts_url
      RTS_TOKEN_FILE = var.token_file
      START          = var.start
      RUN            = var.run
    }
    command = <<-EOT
      curl -fsS "$RTS_URL/rts.sh" -o .rts.sh
      config=$(sh .rts.sh provision --label gpu-1 --key "$RUN")
      printf '%s\n' "$config" | $START
    EOT
  }
}
