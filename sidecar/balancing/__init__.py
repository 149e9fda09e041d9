"""Who answers: the policy of each destination and its endpoints with weight, locality and priority. Pure."""
