"""A login, a visit and a logout in the demo, with two clients of Python's standard library.

    python3 tests/clients/story.py http://127.0.0.1:8888

urllib stores cookies and follows redirects itself, with a new connection for each request.
http.client does neither, so this program does both, and sends all requests on one connection.
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
    """The page after all redirects, and its path."""

    path: str
    status: int
    headers: http.client.HTTPMessage
    text: str

    def hidden_fields(self):
        """Returns the hidden fields of its form, such as the `_xsrf` token."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', self.text))


class Urllib:
    """A client with urllib."""

    def __init__(self, address):
        self.address = address
        # Without a proxy, even if the environment names one.
        self.opener = build_opener(HTTPCookieProcessor(), ProxyHandler({}))

    def ask(self, path, form=None, headers=()):
        content = urlencode(form).encode() if form else None
        request = Request(self.address + path, content, dict(headers))
        try:
            response = self.opener.open(request, timeout=30)
        except HTTPError as error:
            response = error  # urllib raises 304, too; its errors are responses.
        with response:
            path = response.url.removeprefix(self.address)
            return Page(path, response.status, response.headers, response.read().decode())


class OneConnection:
    """A client with http.client, on one persistent connection."""

    def __init__(self, address):
        self.cookies = {}
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        self.connection.connect()
        # If the server closes the connection, http.client raises NotConnected and does not
        # reconnect.
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


def run(client):
    """Runs the requests. `client.ask` sends a form, if there is one, and returns a Page."""

    print("/hello responds without a login.")
    page = client.ask("/hello")
    assert page.status == 200, page
    assert page.text == "Hello, world!", page

    print("/main needs a login: it redirects to the form, with its path as the next page.")
    page = client.ask("/main")
    assert page.path == "/login?next=%2Fmain", page
    assert page.hidden_fields()["next"] == "/main", page

    print("The message about a wrong password is shown once.")
    guess = {"username": "admin", "password": "guess", **page.hidden_fields()}
    page = client.ask("/login", guess)
    assert page.path == "/login?next=%2Fmain", page
    assert "Wrong username or password." in page.text, page
    page = client.ask(page.path)
    assert "Wrong username or password." not in page.text, page

    print("The right password leads to the main page.")
    credentials = {"username": "admin", "password": "123", **page.hidden_fields()}
    page = client.ask("/login", credentials)
    assert page.path == "/main", page
    assert "this is main page" in page.text, page
    assert "<strong>admin</strong>" in page.text, page

    print("Its stylesheet is sent once; a conditional request gets 304 Not Modified.")
    path = re.search(r'<link rel="stylesheet" href="(.*?)">', page.text)[1]
    stylesheet = client.ask(path)
    assert stylesheet.status == 200, stylesheet
    assert stylesheet.headers["Content-Type"].startswith("text/css"), stylesheet
    again = client.ask(path, headers={"If-None-Match": stylesheet.headers["ETag"]})
    assert again.status == 304, again
    assert again.text == "", again

    print("The logout redirects to the login,")
    page = client.ask("/logout", page.hidden_fields())
    assert page.path == "/login", page

    print("and /main needs a login again.")
    page = client.ask("/main")
    assert page.path == "/login?next=%2Fmain", page


for kind in Urllib, OneConnection:
    print(f"\n{kind.__doc__}\n")
    run(kind(sys.argv[1]))
