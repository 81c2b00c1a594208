"""The build backend that every sdist of the tests carries: PEP 517 with nothing but the standard library."""

import base64
import hashlib
import os
import zipfile


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _identity():
    fields = {}
    for line in _read("PKG-INFO").decode().splitlines():
        if not line:
            break
        name, _, value = line.partition(": ")
        fields.setdefault(name, value)
    return fields["Name"].replace("-", "_"), fields["Version"]


def _members():
    name, version = _identity()
    info = "%s-%s.dist-info" % (name, version)
    members = [(info + "/METADATA", _read("PKG-INFO")), (info + "/WHEEL", _read("WHEEL"))]
    for folder, _, files in sorted(os.walk("src")):
        for file in sorted(files):
            path = os.path.join(folder, file)
            members.append((os.path.relpath(path, "src").replace(os.sep, "/"), _read(path)))
    return info, members


def _record(info, members):
    lines = []
    for path, data in members:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append("%s,sha256=%s,%d" % (path, digest, len(data)))
    return "\n".join(lines + [info + "/RECORD,,", ""]).encode()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info, members = _members()
    filename = "%s-py3-none-any.whl" % info[: -len(".dist-info")]
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as wheel:
        for path, data in members + [(info + "/RECORD", _record(info, members))]:
            wheel.writestr(path, data)
    return filename


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info, members = _members()
    os.makedirs(os.path.join(metadata_directory, info))
    for path, data in members:
        if path.startswith(info):
            with open(os.path.join(metadata_directory, path), "wb") as file:
                file.write(data)
    return info


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("the tests make the sdists themselves")
