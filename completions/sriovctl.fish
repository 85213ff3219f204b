# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sriovctl_global_optspecs
    string join \n root= color= h/help V/version
end

function __fish_sriovctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sriovctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sriovctl_using_subcommand
    set -l cmd (__fish_sriovctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sriovctl -n "__fish_sriovctl_needs_command" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_needs_command" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -s V -l version -d 'Print version'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "list-pfs" -d 'List devices that can have VFs (PFs)'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "pfs" -d 'List devices that can have VFs (PFs)'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "list-vfs" -d 'List VFs: where each is, how it is set up, who uses it'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "vfs" -d 'List VFs: where each is, how it is set up, who uses it'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "set-numvfs" -d 'Give a PF a number of VFs, and wait until they can be used'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "bind-dpdk" -d 'Give VFs to vfio-pci or another driver, for DPDK and virtual machines, and back'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "bind" -d 'Give VFs to vfio-pci or another driver, for DPDK and virtual machines, and back'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "attach" -d 'Give a VF to a network namespace, set up as asked for'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "detach" -d 'Get a VF back from wherever it is, as it was before'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "inspect-state" -d 'Show who has which VF, and whether that is still true; repair what is not'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "state" -d 'Show who has which VF, and whether that is still true; repair what is not'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "doctor" -d 'Tell whether this host is ready for SR-IOV and DPDK, and what stands in the way'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "cni" -d 'Serve a container runtime as its CNI plugin, or become one'
complete -c sriovctl -n "__fish_sriovctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l driver -d 'Only PFs with this driver' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l all-classes -d 'Storage, GPUs and others too, not only network devices'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l free -d 'Only PFs that have a free VF'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l in-use -d 'Only PFs that have a VF in use'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-pfs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l driver -d 'Only PFs with this driver' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l all-classes -d 'Storage, GPUs and others too, not only network devices'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l free -d 'Only PFs that have a free VF'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l in-use -d 'Only PFs that have a VF in use'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand pfs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l driver -d 'Only VFs with this driver' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l stats -d 'Add each VF\'s counters, as far as the PF\'s driver keeps them'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l all-classes -d 'VFs of storage devices, GPUs and others too'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l free -d 'Only VFs that nobody uses'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l in-use -d 'Only VFs that somebody uses'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand list-vfs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l driver -d 'Only VFs with this driver' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l stats -d 'Add each VF\'s counters, as far as the PF\'s driver keeps them'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l all-classes -d 'VFs of storage devices, GPUs and others too'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l free -d 'Only VFs that nobody uses'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l in-use -d 'Only VFs that somebody uses'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand vfs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l driver -d 'Bind every VF to this driver' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l timeout -d 'How long to wait for the kernel, and for the VFs' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l no-autoprobe -d 'Leave the VFs without a driver'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l force -d 'Destroy VFs that are in use'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l no-wait -d 'Return as soon as the VFs exist, before they have drivers and interfaces'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l dry-run -d 'Only print what would be done, as shell commands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand set-numvfs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -s b -l driver -d 'The driver (default: vfio-pci); with --restore the kernel driver, where none is recorded' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l mac -d 'MAC that the DPDK program shall see (default: the one that the interface has)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l vlan -d 'VLAN that the NIC inserts and strips, 0-4094 (0: none)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l trust -d 'Whether the VF may change its MAC, become promiscuous and the like' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l spoofchk -d 'Whether frames with a foreign source MAC are dropped' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l link-state -d 'What the VF sees as carrier' -r -f -a "auto\t'The PF\'s'
enable\t'Always up'
disable\t'Always down'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -s o -l owner -d 'Who may open the device nodes: names or numbers (:GROUP alone is possible)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l mode -d 'Permissions of the device nodes, octal (default: 0600, with a group 0660)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -s r -l restore -d 'Give them back to the driver they had, with their names and settings'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -s s -l status -d 'Show which driver, IOMMU group and device node each VF has, who uses it, and the hugepages'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l pf-only -d 'Bind the PF itself, not its VFs'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l allow-noiommu -d 'Bind to vfio-pci without an IOMMU too: nothing protects the memory then'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l no-reset -d 'Do not reset the device when it changes hands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l persist -d 'Bind them whenever they appear, also after a reboot; with --restore: no longer'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l from-udev -d 'Make the persistent binding of a device that has just appeared'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l force -d 'Bind what the host uses, what DPDK drives as it is (mlx5), what shares its IOMMU group'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l dry-run -d 'Only print what would be done, as shell commands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind-dpdk" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -s b -l driver -d 'The driver (default: vfio-pci); with --restore the kernel driver, where none is recorded' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l mac -d 'MAC that the DPDK program shall see (default: the one that the interface has)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l vlan -d 'VLAN that the NIC inserts and strips, 0-4094 (0: none)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l trust -d 'Whether the VF may change its MAC, become promiscuous and the like' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l spoofchk -d 'Whether frames with a foreign source MAC are dropped' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l link-state -d 'What the VF sees as carrier' -r -f -a "auto\t'The PF\'s'
enable\t'Always up'
disable\t'Always down'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -s o -l owner -d 'Who may open the device nodes: names or numbers (:GROUP alone is possible)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l mode -d 'Permissions of the device nodes, octal (default: 0600, with a group 0660)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -s r -l restore -d 'Give them back to the driver they had, with their names and settings'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -s s -l status -d 'Show which driver, IOMMU group and device node each VF has, who uses it, and the hugepages'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l pf-only -d 'Bind the PF itself, not its VFs'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l allow-noiommu -d 'Bind to vfio-pci without an IOMMU too: nothing protects the memory then'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l no-reset -d 'Do not reset the device when it changes hands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l persist -d 'Bind them whenever they appear, also after a reboot; with --restore: no longer'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l from-udev -d 'Make the persistent binding of a device that has just appeared'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l force -d 'Bind what the host uses, what DPDK drives as it is (mlx5), what shares its IOMMU group'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l dry-run -d 'Only print what would be done, as shell commands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand bind" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l pf -d 'Any free VF of this PF' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l pool -d 'Any free VF of these PFs, or of these VFs; may be repeated' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l numa -d 'Of several, rather one on this NUMA node' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l netns -d 'Network namespace: a name (ip netns) or a path' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l pid -d 'The network namespace of this process' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l container -d 'The network namespace of this container (docker, containerd, podman, CRI-O): its id, or the beginning of it' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l name -d 'Name of the interface there (default: its name here)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l mac -d 'MAC of the interface; set in the PF as well' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l vlan -d 'VLAN that the NIC inserts and strips, 0-4094 (0: none)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l qos -d 'Priority in the VLAN tag, 0-7' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l proto -d 'Protocol of the VLAN tag' -r -f -a "802.1q\t'The customer tag'
802.1ad\t'The service tag'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l mtu -d 'MTU in bytes, at most the PF\'s' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l spoofchk -d 'Whether frames with a foreign source MAC are dropped' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l trust -d 'Whether the VF may change its MAC, become promiscuous and the like' -r -f -a "on\t'Switched on'
off\t'Switched off'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l link-state -d 'What the VF sees as carrier' -r -f -a "auto\t'The PF\'s'
enable\t'Always up'
disable\t'Always down'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l min-tx-rate -d 'Lowest guaranteed rate in Mbit/s (0: none)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l max-tx-rate -d 'Highest rate in Mbit/s (0: no limit)' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l address -d 'Address of the interface; may be repeated' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l gateway -d 'Default gateway; may be given for IPv4 and for IPv6' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l route -d 'Route, CIDR via IP or CIDR on the link itself (10.1.0.0/16,10.0.0.1); may be repeated' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l pf-only -d 'Move the PF itself, not a VF of it'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l dry-run -d 'Only print what would be done, as shell commands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l netns -d 'Network namespace: a name (ip netns) or a path' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l pid -d 'The network namespace of this process' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l container -d 'The network namespace of this container (docker, containerd, podman, CRI-O): its id, or the beginning of it' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l name -d 'Only the one with this name there' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l all-stale -d 'Everything whose namespace is gone, or whose attaching was cut off'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l dry-run -d 'Only print what would be done, as shell commands'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand detach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l repair -d 'Put right what is not ok; foreign VFs only when they are named, or after a question'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l watch -d 'Go on, and print whatever changes'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand inspect-state" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -s o -l output -d 'Form of the output' -r -f -a "table\t'The most important columns that fit the terminal'
wide\t'All columns'
json\t'One JSON document'
jsonl\t'One JSON object a line'
csv\t'Comma-separated values, all columns'
name\t'Names only, one a line'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l sort -d 'Sort by a column, named as in the CSV header; -COLUMN sorts the other way round' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l repair -d 'Put right what is not ok; foreign VFs only when they are named, or after a question'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l watch -d 'Go on, and print whatever changes'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l json -d 'Short for --output json'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -l no-headers -d 'Leave out the header line of tables and CSV'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand state" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l dpdk -d 'Only what DPDK needs: PFs and VFs, IOMMU, vfio-pci, hugepages, and what is in conflict'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l cni -d 'Only what a container runtime needs: PFs and VFs, the plugin, its configurations, records, and what is in conflict'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l all -d 'What is fine, too'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -l json -d 'Print the result as JSON'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand cni" -l install -d 'Make the links sriov and fixipam to this program in DIR, and end' -r
complete -c sriovctl -n "__fish_sriovctl_using_subcommand cni" -l root -d 'Read a copied or made-up tree below DIR: no netlink, no changes' -r -F
complete -c sriovctl -n "__fish_sriovctl_using_subcommand cni" -l color -d 'When to use colours (auto: on a terminal, unless NO_COLOR is set)' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c sriovctl -n "__fish_sriovctl_using_subcommand cni" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "list-pfs" -d 'List devices that can have VFs (PFs)'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "list-vfs" -d 'List VFs: where each is, how it is set up, who uses it'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "set-numvfs" -d 'Give a PF a number of VFs, and wait until they can be used'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "bind-dpdk" -d 'Give VFs to vfio-pci or another driver, for DPDK and virtual machines, and back'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "attach" -d 'Give a VF to a network namespace, set up as asked for'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "detach" -d 'Get a VF back from wherever it is, as it was before'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "inspect-state" -d 'Show who has which VF, and whether that is still true; repair what is not'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "doctor" -d 'Tell whether this host is ready for SR-IOV and DPDK, and what stands in the way'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "cni" -d 'Serve a container runtime as its CNI plugin, or become one'
complete -c sriovctl -n "__fish_sriovctl_using_subcommand help; and not __fish_seen_subcommand_from list-pfs list-vfs set-numvfs bind-dpdk attach detach inspect-state doctor cni help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
