# What `crs template` renders; the agent's own settings stand beside it in this directory.
template {
  source      = "etc/example.d/upstreams.conf.ctmpl"
  destination = "target/example/upstreams.conf"
  command     = "echo 'upstreams.conf changed: here nginx would be reloaded'"
}
