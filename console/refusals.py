"""How the console refuses a request: with a page for a browser, with a problem for a program."""

from fastapi import Request
from fastapi.responses import Response

from console.accept import is_page
from console.pages.render import Renderer
from deletion.process.problems import Problem, Shown


def refusals(render: Renderer) -> Shown:
    """Return the function that renders a problem: as a page if HTML is preferred, else as JSON."""

    def shown(request: Request, problem: Problem) -> Response:
        if not is_page(request):
            return problem.response()
        values = {"status": problem.status, "detail": problem.detail}
        response = render.page(request, "problem.html", values, problem.status)
        response.headers.update(problem.headers or {})
        return response

    return shown
