"""Uploads of files with several names, each in one form.

    python3 tests/clients/uploads.py http://127.0.0.1:8888/ http.client NAME...
    python3 tests/clients/uploads.py http://127.0.0.1:8888/ requests NAME...

The server returns what it received, as JSON; it must be what was sent. The standard library has
no upload, but the package email writes the header fields of a form; requests is a package of its
own.
"""

import hashlib
import http.client
import json
import sys
from email.message import Message
from urllib.parse import urlsplit


def content_of(index):
    """Returns the content of a file: all bytes, and lines that are almost delimiters."""
    return (bytes(range(256)) * 80 * index + b"\r\n--\r\n--boundary--\r\n") if index else b""


def send_with_http_client(url, files):
    """The package email escapes quotes and backslashes, and writes other names as `filename*`."""
    parts = []
    for name, content in files:
        head = Message()
        filename = name if name.isascii() else ("utf-8", "", name)
        head.add_header("Content-Disposition", "form-data", name="file", filename=filename)
        head.add_header("Content-Type", "text/plain")
        lines = "".join(f"{field}: {value}\r\n" for field, value in head.items())
        parts.append(b"--boundary of Python\r\n%s\r\n%s\r\n" % (lines.encode(), content))
    form = b"".join(parts) + b"--boundary of Python--\r\n"
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    fields = {"Content-Type": 'multipart/form-data; boundary="boundary of Python"'}
    connection.request("POST", "/", form, fields)
    response = connection.getresponse()
    text = response.read().decode()
    assert response.status == 200, text
    return text


def send_with_requests(url, files):
    """urllib3 2 encodes names as browsers do."""
    import requests

    session = requests.Session()
    session.trust_env = False  # No proxy, even if the environment names one.
    parts = [("file", (name, content, "text/plain")) for name, content in files]
    response = session.post(url, files=parts, timeout=30)
    assert response.status_code == 200, response.text
    return response.text


url, client, *names = sys.argv[1:]
files = [(name, content_of(index)) for index, name in enumerate(names)]
send = {"http.client": send_with_http_client, "requests": send_with_requests}[client]
received = json.loads(send(url, files))
expected = [
    ["file", name, "text/plain", len(content), hashlib.sha256(content).hexdigest()]
    for name, content in files
]
assert received == {"files": expected, "texts": []}, (received, expected)
