"""HTTP as downloads need it: redirects that are looked at, an end that holds, and what else may go wrong."""

import functools
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urljoin

from vgm_jax.preparation.manifest import Refused, clean_url

HEADERS = {"User-Agent": "vgm-collect", "Accept-Encoding": "identity"}
REDIRECTS = 10
PASSING = (408, 425, 429, *range(500, 600))  # what a server may answer otherwise another time
# What a network does, as against what a disk does, whose errors no second attempt mends.
NETWORK_ERRORS = (
    TimeoutError,
    ConnectionError,
    urllib.error.URLError,
    ssl.SSLError,
    http.client.HTTPException,
)


class Broken(Exception):
    """Why an attempt failed that may pass another time, and after how many seconds, if the server says."""

    def __init__(self, why: str, wait: float = 0.0):
        super().__init__(why)
        self.wait = wait


class Fetcher:
    """Opens URLs. Proxies are those of the environment; no cookies, no passwords."""

    def __init__(self):
        self._opener = urllib.request.OpenerDirector()  # with nothing in it: no file:, no ftp:, no data:
        for handler in (urllib.request.ProxyHandler, urllib.request.UnknownHandler, _Http):
            self._opener.add_handler(handler())

    def open(
        self, url: str, headers: Mapping[str, str], timeout: float, end: float
    ) -> http.client.HTTPResponse:
        """The response after redirects, of status 200, 206 or 416; to be closed, its body read by `read1`.

        A wait for bytes takes at most `timeout` seconds; the body begins by `end` of the monotonic clock.
        Raises Refused, Broken or one of NETWORK_ERRORS.
        """
        for _ in range(REDIRECTS + 1):
            left = min(max(end - time.monotonic(), 1e-3), 1e6)  # timers know no infinity
            request = urllib.request.Request(url, headers=HEADERS | headers)
            # A server that sends its headers byte by byte runs into no timeout.
            timer = threading.Timer(left, _cut, [request])
            timer.start()
            try:
                response = self._opener.open(request, timeout=min(timeout, left))
            except urllib.error.URLError as error:
                if isinstance(error.reason, ssl.SSLCertVerificationError):
                    raise Refused(f"its certificate: {error.reason.verify_message}") from None
                raise
            finally:
                timer.cancel()
            place = response.headers["Location"]
            if response.status in (200, 206, 416):
                encoding = response.headers["Content-Encoding"]
                if encoding in (None, "", "identity"):
                    return response
                response.close()
                raise Refused(f"sent as {encoding}, which was not asked for")
            response.close()  # unread: its body may have no end
            if response.status not in (301, 302, 303, 307, 308) or not place:
                why = f"HTTP status {response.status} {response.reason}".strip()
                if response.status not in PASSING:
                    raise Refused(why)
                wait = response.headers["Retry-After"] or ""
                raise Broken(why, float(wait) if re.fullmatch("[0-9]{1,9}", wait) else 0.0)
            place = place.encode("latin-1", "replace").decode("utf-8", "replace")
            target = clean_url(urljoin(url, place))
            if url.startswith("https:") and not target.startswith("https:"):
                raise Refused("redirected from https to http")
            url = target
        raise Refused(f"more than {REDIRECTS} redirects")


def validator_of(response: http.client.HTTPResponse) -> str | None:
    """What tells this version of the file from others, exactly: its ETag, unless weak, or else its date."""
    tag = response.headers["ETag"]
    return tag if tag and not tag.startswith("W/") else response.headers["Last-Modified"]


def continued(response: http.client.HTTPResponse, size: int, validator: str, total: int | None) -> int | None:
    """The file's bytes in total, if the body continues the first `size` of the same version; else None."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
    same = validator_of(response) in (None, validator)
    if response.status != 206 or not found or not same or int(found[1]) != size:
        return None
    return int(found[2]) if total in (None, int(found[2])) else None


def reason_of(error: Exception, timeout: float) -> str:
    """In words, what the network did."""
    error = getattr(error, "reason", error)
    if isinstance(error, TimeoutError):
        return f"no byte came for {timeout:g} s"
    if isinstance(error, http.client.IncompleteRead):
        return "truncated"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Http(urllib.request.HTTPSHandler):
    """Connections that their request knows, so that they can be cut."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # reads all certificates of the machine

    def http_open(self, request):
        return self.do_open(self._known(request, http.client.HTTPConnection), request)

    def https_open(self, request):
        return self.do_open(self._known(request, http.client.HTTPSConnection), request, context=self._tls)

    @staticmethod
    def _known(request, kind):
        def connection(*args, **settings):
            request.connection = kind(*args, **settings)
            return request.connection

        return connection


def _cut(request: urllib.request.Request) -> None:
    sock = getattr(getattr(request, "connection", None), "sock", None)
    if sock is not None:
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # under TLS, which another thread is reading
        except OSError:
            pass  # it has ended by itself
