"""Machines that become templates, and nodes that are restored from the memory of one."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.definition import read_live, read_persistent
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, on_connection
from reconciler.host.libvirt.lookup import our_domain
from reconciler.host.libvirt.saved_memory import HEADER_BYTES, parse_head, saved_xml, with_xml
from reconciler.host.libvirt.template_xml import render_clone, template_name

_PIPE_MODE = 0o600
_RETRY_S = 0.002
_CHUNK_BYTES = 1 << 20


def _begin(handle: Any, _key: str, xml: str) -> None:
    """Boot a machine that ends with this process's connection to libvirt."""
    handle.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY)


def _is_up(handle: Any, key: str) -> bool:
    return _find(handle, key) is not None


def _save(handle: Any, key: str, memory: Path) -> None:
    """Write the machine's memory to a new file, and end it."""
    domain = _find(handle, key)
    if domain is None:
        raise OperationFailed("the machine that was to become a template has ended")
    domain.save(str(memory))


def _end(handle: Any, key: str) -> None:
    """End the machine, if there still is one."""
    domain = _find(handle, key)
    if domain is not None:
        domain.destroy()


def _find(handle: Any, key: str) -> Any | None:
    try:
        return handle.lookupByName(template_name(key))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


def _restore(handle: Any, cluster: str, node: str, memory: Path) -> None:
    """Restore a node that is off from the memory of a template, paused. A node that is up counts as restored.

    libvirt accepts no other name or UUID than the saved ones beside the file (`restoreFlags`), but it believes what
    the file says: it reads the file from a pipe here, with the node's XML put before the same memory.
    """
    domain = our_domain(handle, cluster, node)
    if not domain.isActive():
        defined = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        with _as_node(memory, defined) as pipe:
            handle.restoreFlags(str(pipe), None, libvirt.VIR_DOMAIN_SAVE_PAUSED)
    if read_live(domain, node).domain != read_persistent(domain, node).domain:
        raise OperationFailed("it was restored as another machine than it is defined as", node=node)


@contextmanager
def _as_node(memory: Path, defined: str) -> Iterator[Path]:
    """A pipe that gives the memory, with the node's XML, to the program that opens it."""
    pipe = memory.parent / f".as-node-{os.getpid()}-{threading.get_ident()}"
    with memory.open("rb", buffering=0) as file:
        try:
            head = parse_head(file.read(HEADER_BYTES))
            data = file.read(head.length)
            beginning = with_xml(head, data, render_clone(saved_xml(head, data), defined))
        except ValueError as error:
            raise OperationFailed(f"the memory {memory} is damaged: {error}") from error
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, _PIPE_MODE)
        over = threading.Event()
        feeder = threading.Thread(target=_feed, args=(pipe, beginning, file.fileno(), over), daemon=True)
        feeder.start()
        try:
            yield pipe
        finally:
            over.set()
            feeder.join()
            pipe.unlink(missing_ok=True)


def _feed(pipe: Path, beginning: bytes, memory: int, over: threading.Event) -> None:
    """Write all of it for each program that opens the pipe, until one has read everything, or nobody reads on.

    libvirt 11 opens the file twice: once for the XML, and again for the memory.
    """
    start = os.lseek(memory, 0, os.SEEK_CUR)
    while (writer := _opened(pipe, over)) is not None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as out:
            view = memoryview(beginning)
            while view:
                view = view[out.write(view) :]
            at = start
            while count := os.splice(memory, out.fileno(), _CHUNK_BYTES, offset_src=at):
                at += count
            return


def _opened(pipe: Path, over: threading.Event) -> int | None:
    """The pipe's writing end as soon as somebody reads; None if nobody did.

    Before anything is written, another pipe takes its place: who opens it next does not read what this one left.
    """
    while not over.is_set():
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(_RETRY_S)
            continue
        fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        following = pipe.with_name(f"{pipe.name}.next")
        following.unlink(missing_ok=True)
        os.mkfifo(following, _PIPE_MODE)
        following.replace(pipe)
        return writer
    return None


class TemplateMachines:
    """Templates as libvirt sees them; machines are named by the template's key."""

    def __init__(self, connection: LibvirtConnection) -> None:
        self.connection = connection

    begin = on_connection(_begin)
    is_up = on_connection(_is_up)
    save = on_connection(_save)
    end = on_connection(_end)
    restore = on_connection(_restore)

    async def emulator(self) -> str:
        """The versions of libvirt and QEMU: memory is restored by those that saved it."""
        return await self.connection.ask(lambda handle: f"{handle.getLibVersion()} {handle.getVersion()}")
