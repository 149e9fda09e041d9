"""The command line `meshd`: one module per verb, and what verbs share."""
