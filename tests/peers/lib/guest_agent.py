"""Asks the real guest agent in a host, as Proxmox asks it: Debian's qemu-ga, which listens on a socket where a virtual machine has a port."""
import asyncio
import base64
import json

# Where agent/qemu-guest-agent.conf has it listen.
SOCKET = "run/guest-agent.sock"
# Proxmox gives an agent as long for a plain question.
SECONDS = 3


class AgentError(Exception):
    """What the guest agent answers instead of a result."""


class Silent(Exception):
    """Nobody answers: not installed, not started, or the machine is still booting."""


async def ask(host, command, **arguments):
    """One question to the agent of a host (https://www.qemu.org/docs/master/interop/qemu-ga-ref.html)."""
    leader = host.leader()
    if leader is None:
        raise Silent("the machine does not run")
    question = {"execute": f"guest-{command}", **({"arguments": arguments} if arguments else {})}
    writer = None
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(f"/proc/{leader}/root/{SOCKET}", limit=2**26)
            writer.write(json.dumps(question).encode() + b"\n")
            answer = json.loads(await reader.readline() or "{}")
    except (OSError, TimeoutError, ValueError) as error:
        raise Silent(f"{command}: {error!r}") from error
    finally:
        if writer:
            writer.close()
    if "error" in answer:
        raise AgentError(answer["error"].get("desc", ""))
    if "return" not in answer:
        raise Silent(f"{command}: it hung up")
    return answer["return"]


async def runs(host):
    try:
        await ask(host, "ping")
    except (Silent, AgentError):
        return False
    return True


async def call(host, command, values):
    """The answer to a call of Proxmox's API below /agent."""
    if command == "file-read":
        return await _file_read(host, values["file"])
    if command == "exec":
        path, *arguments = values["command"]
        data = values.get("input-data")
        more = {"input-data": base64.b64encode(data.encode()).decode()} if data else {}
        return await ask(host, "exec", path=path, arg=arguments, **more, **{"capture-output": True})
    if command == "exec-status":
        status = await ask(host, "exec-status", pid=int(values["pid"]))
        texts = {key: base64.b64decode(status[key]).decode(errors="replace") for key in ("out-data", "err-data") if key in status}
        return {**status, **texts, "exited": int(status["exited"])}
    return {"result": await ask(host, command)}


async def _file_read(host, path):
    handle = await ask(host, "file-open", path=path, mode="r")
    try:
        read = await ask(host, "file-read", handle=handle, count=2**20)
    finally:
        await ask(host, "file-close", handle=handle)
    return {"content": base64.b64decode(read["buf-b64"]).decode(errors="replace"), "bytes-read": read["count"], "truncated": not read["eof"]}
