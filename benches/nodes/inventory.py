# pyinfra's inventory: the hosts of $INVENTORY (lines: name address port), their roots below $ROOTS.
import os

_login = dict(
    ssh_user="root",
    ssh_key=os.environ["KEY"],
    ssh_known_hosts_file=os.environ["KNOWN_HOSTS"],
    ssh_strict_host_key_checking="yes",
    ssh_look_for_keys=False,
)
nodes = []
for _number, _line in enumerate(open(os.environ["INVENTORY"]), 1):
    _name, _address, _port = _line.split()
    nodes.append((_name, dict(_login, ssh_hostname=_address, ssh_port=int(_port), idx=_number, r=os.environ["ROOTS"] + "/" + _name)))
