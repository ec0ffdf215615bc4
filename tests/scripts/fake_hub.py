"""A loopback stand-in for the Hugging Face Hub, standard library only.

It speaks as much of the Hub's protocol as one push and the loads after it need: repositories of models and datasets,
commits of regular and large files, validation of a card, and downloads with their ETag and commit headers. A path that
it does not know is kept in `unknown`, so that a test can tell when the client starts to ask for something new. Faults
are put in by `fail` (another answer), `cut` (a connection that breaks while it is read) and `meet` (requests that wait
for each other).
"""

import base64
import hashlib
import json
import re
import socket
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API_PATH = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+?)"
    r"(?:/(?P<action>revision|preupload|commit|tree|paths-info|refs|branch)(?:/(?P<revision>[^/]+)(?:/(?P<rest>.*))?)?)?"
)
LARGE_BATCH_PATH = re.compile(r"(?:/datasets)?/[^/]+/[^/]+?\.git/info/lfs/objects/batch")
RESOLVE_PATH = re.compile(r"/(?P<name>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class Reply:
    """What the server answers: a status, a body (JSON unless bytes) and headers."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass
class Commit:
    """One state of a repository: every path with its ETag and its bytes."""

    oid: str
    files: dict[str, tuple[str, bytes]]


@dataclass
class Fault:
    """What happens to the next requests of one method whose path matches."""

    method: str
    path: str
    reply: Reply | None = None  # None breaks the connection
    times: float = 1
    meeting: threading.Barrier | None = None


@dataclass
class Repository:
    private: bool
    commits: list[Commit]
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def on(self, branch: str) -> list[Commit]:
        return self.commits if branch in ("main", "HEAD") else self.branches.get(branch, [])

    def at(self, revision: str) -> Commit | None:
        if found := self.on(revision):
            return found[-1]
        everything = [commit for commits in (self.commits, *self.branches.values()) for commit in commits]
        return next((commit for commit in everything if commit.oid.startswith(revision)), None)


def not_found(what: str) -> Reply:
    return Reply(404, {"error": f"{what} not found"}, {"X-Error-Code": f"{what}NotFound"})


class FakeHub:
    """A Hub on 127.0.0.1 with one user.

    Args:
        large_suffixes: Files with these endings take the large-file route; all others are regular.
        token: The only token that may write. Any other gets a 401.
    """

    def __init__(self, user="tester", token="hf_loopback", large_suffixes=()):
        self.user = user
        self.token = token
        self.large_suffixes = tuple(large_suffixes)
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.unknown: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        # Looked at often, because closing waits for the next look.
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, method, path, status, times=1, headers=None, error="the fault of a test"):
        """Answer the next `times` requests whose path matches the pattern with a status."""
        self.faults.append(Fault(method, path, Reply(status, {"error": error}, headers or {}), times))

    def cut(self, method, path, times=1):
        """Break the connection of the next `times` requests after half of their body."""
        self.faults.append(Fault(method, path, None, times))

    def meet(self, method, path, parties):
        """Hold requests until as many are there, then answer them all."""
        self.faults.append(Fault(method, path, None, parties, threading.Barrier(parties, timeout=30)))

    def _fault(self, method, path):
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def asked(self, method, path):
        """Number of requests of a method whose path matches."""
        return sum(asked == method and re.search(path, target) is not None for asked, target in self.requests)

    def environment(self, home):
        """Variables that send a fresh process here instead of to the real Hub; they must be set before any import."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def files(self, name, revision="main"):
        return {path: blob for path, (_, blob) in self.repositories[name].at(revision).files.items()}

    def create(self, name, private):
        """A new repository with its empty first state, which the Hub makes itself."""
        first = Commit(hashlib.sha1(name.encode()).hexdigest(), {})
        self.repositories[name] = Repository(private, [first])

    def _handler_class(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                """Silent: the test reads `requests` instead."""

            def _answer(self):
                hub.requests.append((self.command, self.path))
                fault = hub._fault(self.command, self.path)
                if fault is not None and fault.reply is None and fault.meeting is None:
                    self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                body = self._read_body()
                authorised = self.headers.get("Authorization") == f"Bearer {hub.token}"
                if fault is not None and fault.meeting is not None:
                    fault.meeting.wait()
                if fault is not None and fault.reply is not None:
                    reply = fault.reply
                else:
                    reply = hub.route(self.command, self.path, body, authorised, self.headers.get("Range"))
                payload = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(payload)))
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(payload)

            def _read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            do_GET = do_HEAD = do_POST = do_PUT = _answer

        return Handler

    def route(self, method, target, body, authorised, byte_range):
        path = urllib.parse.unquote(urllib.parse.urlsplit(target).path)
        # A large file goes to a signed address, which carries its own permission.
        if method == "POST" and path != "/api/validate-yaml" and not authorised:
            return Reply(401, {"error": "Invalid credentials"})
        if path == "/api/whoami-v2":
            access = {"accessToken": {"role": "write"}}
            return Reply(body={"type": "user", "name": self.user, "orgs": [], "auth": access})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return Reply(body={"errors": [], "warnings": []})
        if path.startswith("/large/"):
            return self._store_large(path.rpartition("/")[2], body)
        if path == "/verify-large":
            return Reply(body={})
        if LARGE_BATCH_PATH.fullmatch(path):
            return self._large_batch(json.loads(body))
        if match := API_PATH.fullmatch(path):
            name = match["name"] if match["kind"] == "models" else f"datasets/{match['name']}"
            return self._api(name, match["action"], match["revision"] or "main", body, authorised)
        if match := RESOLVE_PATH.fullmatch(path):
            return self._resolve(match["name"], match["revision"], match["file"], byte_range, authorised)
        self.unknown.append((method, path))
        return Reply(404, {"error": f"not implemented: {path}"})

    def _create(self, request):
        name = f"{request.get('organization') or self.user}/{request['name']}"
        answer = {"url": f"{self.endpoint}/{name}", "name": name, "id": name}
        if request.get("type", "model") == "dataset":
            name = f"datasets/{name}"
            answer["url"] = f"{self.endpoint}/{name}"
        if name in self.repositories:
            return Reply(409, {"error": "You already created this repo", **answer})
        private = request.get("private") or request.get("visibility") == "private"
        self.create(name, private=bool(private))
        return Reply(body=answer)

    def _visible(self, name, authorised):
        """The repository, or None where the Hub would deny that it exists: a private one without the token."""
        repository = self.repositories.get(name)
        return repository if repository and (authorised or not repository.private) else None

    def _api(self, name, action, revision, body, authorised):
        repository = self._visible(name, authorised)
        if repository is None:
            return Reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if action == "branch":
            if repository.on(revision):
                return Reply(409, {"error": "Reference already exists"})
            repository.branches[revision] = [repository.commits[-1]]
            return Reply(body={})
        commit = repository.at(revision)
        if commit is None:
            return not_found("Revision")
        if action in (None, "revision"):
            return Reply(body=self._info(name, repository, commit))
        if action == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit.oid}
            return Reply(body={"branches": [branch], "converts": [], "tags": []})
        if action == "preupload":
            return Reply(
                body={"files": [self._upload_mode(item["path"], commit) for item in json.loads(body)["files"]]}
            )
        if action == "commit":
            return self._commit(name, repository.on(revision), commit, body)
        wanted = urllib.parse.parse_qs(body.decode()).get("paths") if action == "paths-info" else None
        entries = [
            {"type": "file", "oid": etag, "size": len(blob), "path": path}
            for path, (etag, blob) in sorted(commit.files.items())
            if wanted is None or path in wanted
        ]
        return Reply(body=entries)

    def _info(self, name, repository, commit):
        return {
            "_id": "0" * 24,
            "id": name.removeprefix("datasets/"),
            "modelId": name.removeprefix("datasets/"),
            "author": name.split("/")[-2],
            "sha": commit.oid,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "createdAt": "2026-01-01T00:00:00.000Z",
            "lastModified": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }

    def _upload_mode(self, path, commit):
        mode = "lfs" if self.large_suffixes and path.endswith(self.large_suffixes) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": commit.files.get(path, (None,))[0]}

    def _commit(self, name, commits, parent, body):
        files = dict(parent.files)
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                blob = base64.b64decode(value["content"])
                files[value["path"]] = (hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest(), blob)
            elif operation["key"] == "lfsFile":
                files[value["path"]] = (value["oid"], self.large_files[value["oid"]])
            elif operation["key"] == "deletedFile":
                files.pop(value["path"], None)
        with self._lock:
            # Several at once follow each other: each brings its own files, and keeps those of the one before.
            changed = {path: entry for path, entry in files.items() if parent.files.get(path) != entry}
            files = {**commits[-1].files, **changed}
            listing = repr((name, len(commits), sorted((path, etag) for path, (etag, _) in files.items())))
            commit = Commit(hashlib.sha1(listing.encode()).hexdigest(), files)
            commits.append(commit)
        url = f"{self.endpoint}/{name}/commit/{commit.oid}"
        return Reply(body={"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    def _large_batch(self, request):
        objects = []
        for item in request["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.large_files:
                upload = {"href": f"{self.endpoint}/large/{item['oid']}", "header": self._authorisation()}
                verify = {"href": f"{self.endpoint}/verify-large", "header": self._authorisation()}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        body = {"transfer": "basic", "objects": objects}
        return Reply(body=body, content_type="application/vnd.git-lfs+json")

    def _authorisation(self):
        return {"Authorization": f"Bearer {self.token}"}

    def _store_large(self, oid, blob):
        if hashlib.sha256(blob).hexdigest() != oid:
            return Reply(400, {"error": "sha256 mismatch"})
        self.large_files[oid] = blob
        return Reply()

    def _resolve(self, name, revision, file, byte_range, authorised):
        repository = self._visible(name, authorised)
        if repository is None:
            return Reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        commit = repository.at(revision)
        if commit is None:
            return not_found("Revision")
        if file not in commit.files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid}
            return Reply(404, {"error": "Entry not found"}, headers)
        etag, blob = commit.files[file]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if byte_range:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", byte_range).groups()
            start, stop = int(first), int(last) + 1 if last else len(blob)
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(blob)) - 1}/{len(blob)}"
            return Reply(206, blob[start:stop], headers, "application/octet-stream")
        return Reply(200, blob, headers, "application/octet-stream")
