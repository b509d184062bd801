"""What the commands do: each workflow ties stages together."""
