{
    "name": "Vagus",
    "summary": "Applies what hospitals' systems send, each unit once and whole",
    "description": "Takes units from the integration broker Vagus, each in one transaction with its id. See README.md.",
    "version": "1.0.0",
    "category": "Technical",
    "author": "Vagus",
    "website": "https://github.com/vagus-health/vagus",
    "license": "LGPL-3",
    "depends": ["web"],
    "data": [
        "security/groups.xml",
        "security/ir.model.access.csv",
        "views/menu.xml",
    ],
    "application": False,
    "installable": True,
}
