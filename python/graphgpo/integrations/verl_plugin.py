"""What verl imports when it starts: the entry point `verl.plugins`, which is loaded, not called."""

from graphgpo.integrations.verl import register

register()
