"""The tools that are shipped: what each does, and what it does not protect against, stands in
`docs/tools.md`. Each is a factory, and what it makes goes among the tools of an agent:

    on.Agent(model, tools=[on.tools.http(hosts=["api.example.com"]), on.tools.calculator()])
"""

from onrecord.programs.tools.calculator_tool import calculator
from onrecord.programs.tools.email_tool import email
from onrecord.programs.tools.http_tool import http
from onrecord.programs.tools.mcp_client.servers import mcp
from onrecord.programs.tools.openapi_tool import openapi
from onrecord.programs.tools.python_tool import python
from onrecord.programs.tools.search_tool import search
from onrecord.programs.tools.sql_tool import sql

__all__ = ["calculator", "email", "http", "mcp", "openapi", "python", "search", "sql"]
