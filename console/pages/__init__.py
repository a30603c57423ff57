"""The web pages: routes, what they show, and how that reads. Templates are in console/templates."""
