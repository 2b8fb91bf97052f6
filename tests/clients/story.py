"""The story of the demo, told by two clients from Python's standard library.

    python3 tests/clients/story.py http://127.0.0.1:8888

urllib keeps cookies and follows redirects by itself, on a new connection for each request.
http.client does nothing by itself: we do both by hand, and all of it over one connection.
"""

import http.client
import http.cookies
import re
import sys
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener


class Page(NamedTuple):
    """What we were shown in the end, and the path where we found it."""

    path: str
    status: int
    headers: http.client.HTTPMessage
    text: str

    def hidden_fields(self):
        """What its form wants to have back, such as the `_xsrf` token."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', self.text))


class Urllib:
    """A visitor who leaves the work to urllib."""

    def __init__(self, address):
        self.address = address
        # Straight to the server, whatever proxy the environment names.
        self.opener = build_opener(HTTPCookieProcessor(), ProxyHandler({}))

    def ask(self, path, form=None, headers=()):
        content = urlencode(form).encode() if form else None
        request = Request(self.address + path, content, dict(headers))
        try:
            response = self.opener.open(request, timeout=30)
        except HTTPError as error:
            response = error  # 304 is one as well; and an error is a response to urllib.
        with response:
            path = response.url.removeprefix(self.address)
            return Page(path, response.status, response.headers, response.read().decode())


class OneConnection:
    """A visitor who works by hand, and never hangs up."""

    def __init__(self, address):
        self.cookies = {}
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        self.connection.connect()
        # If the server hangs up, http.client is not to call again: it is to raise NotConnected.
        self.connection.auto_open = False

    def ask(self, path, form=None, headers=()):
        headers = dict(headers)
        if self.cookies:
            pairs = [f"{name}={value}" for name, value in self.cookies.items()]
            headers["Cookie"] = "; ".join(pairs)
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            self.connection.request("POST", path, urlencode(form), headers)
        else:
            self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        self.keep_cookies(response.headers)
        if response.status == 302:
            return self.ask(response.headers["Location"])
        return Page(path, response.status, response.headers, text)

    def keep_cookies(self, headers):
        for line in headers.get_all("Set-Cookie", []):
            for name, cookie in http.cookies.SimpleCookie(line).items():
                if cookie["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = cookie.value


def tell(visitor):
    """The story. A visitor's `ask` sends a form, if there is one, and returns a Page."""

    print("/hello greets everybody.")
    page = visitor.ask("/hello")
    assert page.status == 200, page
    assert page.text == "Hello, world!", page

    print("/main is closed: it sends us to the login, which remembers where we wanted to go.")
    page = visitor.ask("/main")
    assert page.path == "/login?next=%2Fmain", page
    assert page.hidden_fields()["next"] == "/main", page

    print("A wrong password is told once.")
    guess = {"username": "admin", "password": "guess", **page.hidden_fields()}
    page = visitor.ask("/login", guess)
    assert page.path == "/login?next=%2Fmain", page
    assert "Wrong username or password." in page.text, page
    page = visitor.ask(page.path)
    assert "Wrong username or password." not in page.text, page

    print("The right one opens the main page.")
    credentials = {"username": "admin", "password": "123", **page.hidden_fields()}
    page = visitor.ask("/login", credentials)
    assert page.path == "/main", page
    assert "this is main page" in page.text, page
    assert "<strong>admin</strong>" in page.text, page

    print("Its stylesheet is sent once; asked again, the server says that nothing has changed.")
    path = re.search(r'<link rel="stylesheet" href="(.*?)">', page.text)[1]
    stylesheet = visitor.ask(path)
    assert stylesheet.status == 200, stylesheet
    assert stylesheet.headers["Content-Type"].startswith("text/css"), stylesheet
    again = visitor.ask(path, headers={"If-None-Match": stylesheet.headers["ETag"]})
    assert again.status == 304, again
    assert again.text == "", again

    print("Logging out leads back to the login,")
    page = visitor.ask("/logout", page.hidden_fields())
    assert page.path == "/login", page

    print("and /main is closed again.")
    page = visitor.ask("/main")
    assert page.path == "/login?next=%2Fmain", page


for client in Urllib, OneConnection:
    print(f"\n{client.__doc__}\n")
    tell(client(sys.argv[1]))
