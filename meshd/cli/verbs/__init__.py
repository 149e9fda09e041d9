"""The verbs of `meshd`, one module each; `command` is the verb."""
