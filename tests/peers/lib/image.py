"""Writes one OCI image with a single layer into a registry folder."""
import hashlib
import io
import json
import os
import tarfile


def layer(root):
    """The folder as a tar: owned by root, no times, so that the same content has the same digest."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                info = tar.gettarinfo(path, os.path.relpath(path, root))
                info.uid = info.gid = info.mtime = 0
                info.uname = info.gname = ""
                if info.name == "tmp":
                    info.mode = 0o1777
                if info.isreg():
                    with open(path, "rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)
    return data.getvalue()


def put(folder, data):
    """Stores a blob by its digest; returns its descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(os.path.join(folder, "blobs"), exist_ok=True)
    with open(os.path.join(folder, "blobs", "sha256:" + digest), "wb") as file:
        file.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def write(folder, root, reference, command, user=""):
    """Makes `root` the image `NAME:TAG` whose entry point is `command`, as this user (root when empty)."""
    name, tag = reference.rsplit(":", 1)
    content = put(folder, layer(root))
    config = {
        "architecture": "amd64", "os": "linux",
        "config": {"User": user, "Entrypoint": command, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [content["digest"]]},
        "history": [{"created_by": "kthw test peers"}],
    }
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": dict(put(folder, json.dumps(config).encode()), mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": [dict(content, mediaType="application/vnd.oci.image.layer.v1.tar")],
    }
    described = put(folder, json.dumps(manifest).encode())
    tags = os.path.join(folder, "tags", name)
    os.makedirs(tags, exist_ok=True)
    with open(os.path.join(tags, tag), "w", encoding="utf-8") as file:
        file.write(described["digest"])

