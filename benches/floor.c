/*
 * The floor under an ADD and a DEL: only the messages that the kernel needs for the same end state. Nothing is looked
 * at first, checked afterwards, written down, locked, or undone when a step fails.
 *
 *     floor add PF VF MAC VLAN SPOOFCHK TRUST NETDEV NETNS NAME [PLUGIN] < CONFIGURATION
 *     floor del PF VF MAC VLAN SPOOFCHK TRUST NETDEV NETNS NAME MAC-OF-NETDEV [PLUGIN] < CONFIGURATION
 *
 * Of `del`, the settings are those that the VF had before. PLUGIN is an IPAM plugin: it gets this environment and
 * standard input, and the address that it answers is set.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A message that is being made. */
static struct {
    struct nlmsghdr head;
    char body[1024];
} message;

static void *end(void) { return (char *)&message + NLMSG_ALIGN(message.head.nlmsg_len); }

static void begin(int type, int flags, const void *body, size_t size) {
    memset(&message, 0, sizeof message);
    message.head = (struct nlmsghdr){
        .nlmsg_len = NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags};
    memcpy(NLMSG_DATA(&message.head), body, size);
}

static struct rtattr *put(int type, const void *value, size_t size) {
    struct rtattr *attr = end();
    *attr = (struct rtattr){.rta_type = type, .rta_len = RTA_LENGTH(size)};
    if (size > 0) memcpy(RTA_DATA(attr), value, size);
    message.head.nlmsg_len = NLMSG_ALIGN(message.head.nlmsg_len) + RTA_ALIGN(attr->rta_len);
    return attr;
}

/* Everything since is inside of it. */
static void close_nest(struct rtattr *nest) { nest->rta_len = (char *)end() - (char *)nest; }

static void send_it(int sock, const char *what) {
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[1024]; } answer;
    if (send(sock, &message, message.head.nlmsg_len, 0) < 0 || recv(sock, &answer, sizeof answer, 0) < 0) err(1, "%s", what);
    errno = -answer.error.error;
    if (errno != 0) err(1, "%s", what);
}

static int open_route(void) {
    int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (sock < 0) err(1, "socket");
    return sock;
}

static void parse_mac(const char *text, unsigned char mac[6]) {
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) errx(1, "no MAC: %s", text);
}

static unsigned index_of(const char *name) {
    unsigned index = if_nametoindex(name);
    if (index == 0) err(1, "%s", name);
    return index;
}

/* All settings of a VF in one message to its PF. */
static void settings(int sock, char **argv) {
    unsigned vf = atoi(argv[1]);
    struct ifla_vf_mac mac = {.vf = vf};
    struct ifla_vf_vlan vlan = {.vf = vf, .vlan = atoi(argv[3])};
    struct ifla_vf_spoofchk spoofchk = {.vf = vf, .setting = atoi(argv[4])};
    struct ifla_vf_trust trust = {.vf = vf, .setting = atoi(argv[5])};
    parse_mac(argv[2], mac.mac);
    struct ifinfomsg link = {.ifi_index = index_of(argv[0])};
    begin(RTM_SETLINK, 0, &link, sizeof link);
    struct rtattr *list = put(IFLA_VFINFO_LIST, NULL, 0), *info = put(IFLA_VF_INFO, NULL, 0);
    put(IFLA_VF_MAC, &mac, sizeof mac);
    put(IFLA_VF_VLAN, &vlan, sizeof vlan);
    put(IFLA_VF_SPOOFCHK, &spoofchk, sizeof spoofchk);
    put(IFLA_VF_TRUST, &trust, sizeof trust);
    close_nest(info);
    close_nest(list);
    send_it(sock, "settings");
}

/*
 * One message moves, names, sets the MAC and, on the way in, up: the kernel moves first, which takes the interface
 * down, and does the rest where it is then (net/core/rtnetlink.c, do_setlink).
 */
static void move(int sock, unsigned index, int netns, const char *name, const char *mac_text, int up) {
    unsigned char mac[6];
    parse_mac(mac_text, mac);
    struct ifinfomsg link = {.ifi_index = index, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP};
    begin(RTM_SETLINK, 0, &link, sizeof link);
    put(IFLA_NET_NS_FD, &netns, sizeof netns);
    put(IFLA_IFNAME, name, strlen(name) + 1);
    put(IFLA_ADDRESS, mac, sizeof mac);
    send_it(sock, "move");
}

/* What the plugin says on its standard output, which inherits this program's input. */
static const char *ask(const char *plugin) {
    static char text[8192];
    int out[2];
    if (pipe(out) < 0) err(1, "pipe");
    pid_t child = vfork();
    if (child < 0) err(1, "vfork");
    if (child == 0) {
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execl(plugin, plugin, NULL);
        _exit(127);
    }
    close(out[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(out[0], text + length, sizeof text - 1 - length)) > 0) length += got;
    int status;
    if (waitpid(child, &status, 0) < 0 || status != 0) errx(1, "%s failed: %s", plugin, text);
    return text;
}

/* The first IPv4 address of an answer. */
static void set_address(int sock, unsigned index, const char *answer) {
    char text[64];
    int length;
    struct in_addr address;
    const char *at = strstr(answer, "\"address\"");
    if (at == NULL || sscanf(at, "\"address\": \"%63[0-9.]/%d", text, &length) != 2 || inet_pton(AF_INET, text, &address) != 1) errx(1, "no address: %s", answer);
    struct ifaddrmsg head = {.ifa_family = AF_INET, .ifa_prefixlen = length, .ifa_index = index};
    begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    put(IFA_LOCAL, &address, sizeof address);
    put(IFA_ADDRESS, &address, sizeof address);
    send_it(sock, "address");
}

int main(int argc, char **argv) {
    int add = argc >= 11 && strcmp(argv[1], "add") == 0;
    if (!add && (argc < 12 || strcmp(argv[1], "del") != 0)) errx(2, "see floor.c");
    const char *netdev = argv[8], *netns = argv[9], *name = argv[10];
    const char *plugin = argc > (add ? 11 : 12) ? argv[add ? 11 : 12] : NULL;
    int there = open(netns, O_RDONLY | O_CLOEXEC), here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (there < 0 || here < 0) err(1, "%s", netns);
    int sock = open_route();
    if (add) {
        settings(sock, argv + 2);
        unsigned index = index_of(netdev);
        move(sock, index, there, name, argv[4], 1);
        if (plugin != NULL) {
            const char *answer = ask(plugin);
            if (setns(there, CLONE_NEWNET) < 0) err(1, "setns");
            int inner = open_route();
            set_address(inner, index_of(name), answer);
        }
        return 0;
    }
    /* The socket stays where it was opened. */
    if (setns(there, CLONE_NEWNET) < 0) err(1, "setns");
    int inner = open_route();
    move(inner, index_of(name), here, netdev, argv[11], 0);
    if (setns(here, CLONE_NEWNET) < 0) err(1, "setns");
    settings(sock, argv + 2);
    if (plugin != NULL) ask(plugin);
    return 0;
}
