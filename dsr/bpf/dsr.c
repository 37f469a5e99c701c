//go:build ignore

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */

/* Direct server return in the kernel: dsr/forward.go once more, over the same tables. What is said there about the
 * rules is not repeated here; the two must come to the same result for every frame, which a test makes sure of.
 *
 * Built twice: for tcx ingress, behind the packet sockets, and with -DXDP, before them. What this program does not
 * forward or drop goes on to them or to the stack: ARP, neighbour discovery, whatever is not for a VIP. */

#include "bpf.h"

enum { SLOTS = 65537, SERVERS = 4096, VIPS = 256, FLOWS = 1 << 18, NONE = 0xffff };
enum { TYPE_IPV4 = 0x0800, TYPE_VLAN = 0x8100, TYPE_QINQ = 0x88a8, TYPE_IPV6 = 0x86dd };
enum { HOPBYHOP = 0, ICMP = 1, IPV4 = 4, TCP = 6, UDP = 17, IPV6 = 41, ROUTING = 43, FRAGMENT = 44, AUTH = 51, ICMPV6 = 58, DESTINATION = 60, ANY_OF = 255 };
enum { SYN = 2, ACK = 16 };
enum { ALIVE = 1, CHOSEN = 2, TUNNEL = 4 }; /* flags of a server */
enum { USER = 1, HASH_PORT = 2 }; /* flags of a table */
enum { LOCAL = 1u << 31 }; /* of a VIP's number: this machine has the address too */

/* Verdicts, numbered as in forward.go; PASS and HAND are none of them. HAND: the packet sockets shall have the frame, and
 * treat it as if there were no program. */
enum { HAND = -2, PASS, FORWARDED, TRUNCATED = 3, LENGTH, CHECKSUM, LOOP, FOREIGN, OTHER, DENIED, NO_SERVER, VERDICTS = 15 };
enum { MARK = 0x70656e21 }; /* of frames for the packet sockets: see filter_linux.go */

/* An address is 16 bytes in network order, an IPv4 one as ::ffff:a.b.c.d. */
union addr {
	u8 byte[16];
	u32 word[4];
	u64 half[2];
};

struct mac {
	u8 byte[6];
};

struct vip_key {
	union addr addr;
	u16 port; /* in host order, as all numbers */
	u8 proto, pad;
} __attribute__((packed, aligned(4)));

/* What belongs to a key. Under an address alone it is the first VIP that has it, and answers for the port and the
 * protocols, too, without a second look: port 0 is any, no protocol none. */
struct vip {
	u32 number;
	u16 port;
	u8 protos, pad; /* bits 0 and 1: TCP, UDP */
};

struct flow_key {
	union addr client, vip;
	u32 ports;
	u8 proto, fragments;
	u16 pad;
};

struct place {
	u16 server, pad;
	u32 generation;
};

struct server {
	struct mac mac;
	u8 flags, pad;
	u32 generation;
	u16 mtu, pad2;
	union addr addr;
};

/* Where outer packets come from, in host order, and which bits of that vary. */
struct sources {
	u32 four, four_varies;
	u64 six[2], six_varies;
};

struct table {
	struct mac mac;
	u16 flags;
	struct sources outer;
	struct server servers[SERVERS];
	u16 slots[SLOTS];
};

/* What the daemon has taken of it is its own affair. */
struct traffic {
	u64 packets, bytes, packets_taken, bytes_taken;
};

struct counts {
	u64 verdicts[VERDICTS];
	struct traffic servers[SERVERS], vips[VIPS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * VIPS);
	__type(key, struct vip_key);
	__type(value, struct vip);
} pen_vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS);
	__type(key, struct flow_key);
	__type(value, struct place);
} pen_flows SEC(".maps");

/* The table in use. A new one is written aside and put in its place as a whole. */
struct table_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct table));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(values, struct table_map);
} pen_tables SEC(".maps");

/* One per processor; the loader sets their number, and maps them into its memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counts);
} pen_counts SEC(".maps");

#ifdef XDP
#define copy xdp_load
#define store xdp_store
typedef struct xdp_md frame;
#else
#define copy skb_load
#define store(f, at, from, n) skb_store(f, at, from, n, 0)
typedef struct __sk_buff frame;
#endif

struct ethernet {
	struct mac dst, src;
	u8 type[2];
} __attribute__((aligned(2)));

/* ethernet is the header of a frame, 0 if there is none. It is only read. */
inlined struct ethernet *ethernet(frame *f) {
	u8 *data = (void *)(long)f->data, *end = (void *)(long)f->data_end;
	return data + sizeof(struct ethernet) <= end ? (struct ethernet *)data : 0;
}

/* load copies n bytes, which is a constant, of what is behind the header of Ethernet: straight, where they are in
 * one piece and begin as words do, which saves most of the time. The verifier shall see that they do, for machines that
 * read words nowhere else. */
inlined int load(frame *f, u32 at, void *to, u32 n) {
	u8 *data = (void *)(long)f->data, *end = (void *)(long)f->data_end;
	u32 word = (at & 0x1fc) | 2;
	unsure(word);
	data += word;
	if (word != at || data + n > end)
		return copy(f, at, to, n);
	u32 i = 0;
	for (; i + 4 <= n; i += 4)
		*(u32 *)(to + i) = *(u32 *)(data + i);
	if (n & 2)
		*(u16 *)(to + i) = *(u16 *)(data + i);
	if (n & 1)
		*(u8 *)(to + n - 1) = data[n - 1];
	return 0;
}

/* What is known of a packet; offsets count from the first byte of the frame. */
struct packet {
	union addr src, dst;
	u32 id, l3, l4, end, body; /* body: what is behind the header of TCP or UDP */
	u16 src_port, dst_port;
	u8 proto, fragment, later, flags;
};

inlined u16 get16(const u8 *b) { return b[0] << 8 | b[1]; }
inlined u32 get32(const u8 *b) { return (u32)get16(b) << 16 | get16(b + 2); }
inlined u32 least(u32 a, u32 b) { return a < b ? a : b; }

inlined void mapped(union addr *a, u32 four) {
	a->half[0] = 0;
	a->word[2] = be32(0xffff);
	a->word[3] = four;
}

inlined int equal(const union addr *a, const union addr *b) { return a->half[0] == b->half[0] && a->half[1] == b->half[1]; }

inlined int same(const struct mac *a, const struct mac *b) {
	for (int i = 0; i < 6; i++)
		if (a->byte[i] != b->byte[i])
			return 0;
	return 1;
}

/* fold is the checksum of a sum of 16-bit words. */
inlined u16 fold(u32 sum) {
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return ~sum;
}

/* options adds the options of an IPv4 header, of the length given, to a sum of 16-bit words. */
called u32 options(frame *f, u32 at, u32 length, u32 sum) {
	for (u32 i = 20; i < 60; i += 4) {
		u16 two[2];
		if (i >= length || copy(f, at + i, two, sizeof two))
			break;
		sum += two[0] + two[1];
	}
	return sum;
}

/* valid reports whether the checksum of an IPv4 header, which begins with w and is there, is right. */
inlined int valid(frame *f, u32 at, const u32 *w, u32 length) {
	u32 sum = 0;
	for (int i = 0; i < 5; i++)
		sum += (w[i] >> 16) + (w[i] & 0xffff);
	return fold(length > 20 ? options(f, at, length, sum) : sum) == 0;
}

inlined int ipv4(frame *f, u32 at, u32 limit, int quoted, struct packet *p) {
	u32 w[5];
	const u8 *h = (const u8 *)w;
	if (at + sizeof w > limit || load(f, at, w, sizeof w))
		return TRUNCATED;
	u32 header = (h[0] & 15) * 4, total = get16(h + 2), there = limit - at;
	if (h[0] >> 4 != 4 || header < sizeof w || total < header)
		return LENGTH;
	if (there < header || (!quoted && there < total))
		return TRUNCATED;
	if (!quoted && !valid(f, at, w, header))
		return CHECKSUM;
	mapped(&p->src, w[3]);
	mapped(&p->dst, w[4]);
	p->proto = h[9];
	p->l4 = at + header;
	p->end = at + least(total, there);
	u16 piece = get16(h + 6);
	if (piece & 0x3fff) {
		p->fragment = 1;
		p->later = (piece & 0x1fff) != 0;
		p->id = get16(h + 4);
	}
	return 0;
}

called int extensions(frame *f, struct packet *p) {
	for (int i = 0; i < 8; i++) {
		u8 h[8];
		u32 length;
		switch (p->proto) {
		case HOPBYHOP: case ROUTING: case DESTINATION: case AUTH: case FRAGMENT:
			break;
		default:
			return 0;
		}
		if (p->end < p->l4 + sizeof h || load(f, p->l4, h, sizeof h))
			return TRUNCATED;
		if (p->proto == AUTH) {
			length = (h[1] + 2) * 4;
		} else if (p->proto == FRAGMENT) {
			u16 piece = get16(h + 2);
			length = 8;
			p->fragment = (piece & 0xfff9) != 0;
			p->later = (piece & 0xfff8) != 0;
			p->id = get32(h + 4);
		} else {
			length = (h[1] + 1) * 8;
		}
		if (p->end < p->l4 + length)
			return TRUNCATED;
		p->proto = h[0];
		p->l4 += length;
		if (p->later)
			return 0;
	}
	return LENGTH;
}

inlined int ipv6(frame *f, u32 at, u32 limit, int quoted, struct packet *p) {
	union {
		u32 word[10];
		u64 half[5];
	} w;
	const u8 *h = (const u8 *)&w;
	if (at + sizeof w > limit || load(f, at, &w, sizeof w))
		return TRUNCATED;
	u32 total = sizeof w + get16(h + 4), there = limit - at;
	if (h[0] >> 4 != 6)
		return LENGTH;
	if (!quoted && there < total)
		return TRUNCATED;
	p->src.half[0] = w.half[1];
	p->src.half[1] = w.half[2];
	p->dst.half[0] = w.half[3];
	p->dst.half[1] = w.half[4];
	p->proto = h[6];
	p->l4 = at + sizeof w;
	p->end = at + least(total, there);
	return extensions(f, p);
}

inlined int ports(frame *f, int quoted, struct packet *p) {
	u8 h[14] __attribute__((aligned(4)));
	if (p->later || (p->proto != TCP && p->proto != UDP))
		return 0;
	u32 there = p->end - p->l4;
	if (there < (quoted ? 4 : p->proto == TCP ? 20 : 8))
		return TRUNCATED;
	if (quoted ? load(f, p->l4, h, 4) : p->proto == TCP ? load(f, p->l4, h, 14) : load(f, p->l4, h, 8))
		return TRUNCATED;
	p->src_port = get16(h);
	p->dst_port = get16(h + 2);
	if (quoted)
		return 0;
	if (p->proto == TCP) {
		u32 header = (h[12] >> 4) * 4;
		if (header < 20)
			return LENGTH;
		if (header > there)
			return TRUNCATED;
		p->flags = h[13];
		p->body = p->l4 + header;
	} else {
		p->body = p->l4 + 8;
	}
	if (p->proto == UDP && !p->fragment) {
		u32 n = get16(h + 4);
		if (n < 8 || n > there)
			return LENGTH;
	}
	return 0;
}

/* How to decode: else IPv4, of which all must be there. */
enum { SIX = 1, QUOTED = 2 };

/* decode reads the headers of the packet between at and limit. */
apart int decode(frame *f, u32 at, u32 limit, u32 how, struct packet *p) {
	if (!p)
		return TRUNCATED;
	int quoted = how & QUOTED, wrong = how & SIX ? ipv6(f, at, limit, quoted, p) : ipv4(f, at, limit, quoted, p);
	return wrong ? wrong : ports(f, quoted, p);
}

inlined struct vip *vip_of(const union addr *a, u16 port, u8 proto) {
	struct vip_key k = {.addr = *a, .port = port, .proto = proto};
	return map_lookup(&pen_vips, &k);
}

/* service is the VIP of a port of an address; any is that of the address. */
inlined struct vip *service(struct vip *any, const union addr *a, u16 port, u8 proto) {
	if (any->protos & (proto == TCP) + 2 * (proto == UDP) && (!any->port || any->port == port))
		return any;
	struct vip *vip = vip_of(a, port, proto);
	return vip ? vip : vip_of(a, 0, proto);
}

inlined u64 mix(u64 x) {
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

#define CLIENT_KEY 0x9ae16a3b2f90404f
#define SOURCE_KEY 0xd6e8feb86659fd93

inlined u64 hash(u64 key, const union addr *a, u16 port) {
	u64 h = mix(key ^ be64(a->half[0]));
	h = mix(h ^ be64(a->half[1]));
	return mix(h ^ port);
}

/* flow finds the VIP that p is for, its flow, and the port of the client that counts for the choice. The VIP is that of
 * the address before. */
inlined int flow(frame *f, const struct packet *p, struct flow_key *k, u16 *port, struct vip **vip) {
	u8 type = 0;
	struct vip *found;
	k->client = p->src;
	k->vip = p->dst;
	k->proto = p->proto;
	if (p->later) {
		k->ports = p->id;
		k->fragments = 1;
		return 0; /* the VIP is that of the address */
	}
	if (p->proto == TCP || p->proto == UDP) {
		found = service(*vip, &p->dst, p->dst_port, p->proto);
		k->ports = (u32)p->src_port << 16 | p->dst_port;
		if (!p->fragment)
			*port = p->src_port;
		goto end;
	}
	if ((p->proto != ICMP && p->proto != ICMPV6) || p->end - p->l4 < 8 || load(f, p->l4, &type, 1))
		return OTHER;
	if (p->proto == ICMPV6 && (type == 135 || type == 136))
		return PASS; /* neighbour discovery */
	if (type == (p->proto == ICMP ? 8 : 128)) {
		found = vip_of(&p->dst, 0, TCP);
		if (!found)
			found = vip_of(&p->dst, 0, UDP);
		goto end;
	}
	if (p->proto == ICMP ? type != 3 && type != 11 && type != 12 : type >= 128)
		return OTHER;
	struct packet q = {};
	if (decode(f, p->l4 + 8, p->end, QUOTED | (p->proto == ICMPV6 ? SIX : 0), &q) || !equal(&q.src, &p->dst))
		return OTHER;
	found = service(*vip, &q.src, q.src_port, q.proto);
	k->client = q.dst;
	k->ports = (u32)q.dst_port << 16 | q.src_port;
	k->proto = q.proto;
	*port = q.dst_port;
end:
	if (!found)
		return OTHER;
	*vip = found;
	return 0;
}

/* route is the server of a flow, or minus the reason why it has none. */
inlined int route(struct table *t, const struct flow_key *k, u16 port, int opens) {
	struct place *known = map_lookup(&pen_flows, k);
	if (known && known->server < SERVERS) {
		struct server *s = &t->servers[known->server];
		if (s->generation == known->generation && s->flags & ALIVE && (!opens || s->flags & CHOSEN))
			return known->server;
	}
	u64 slot = hash(CLIENT_KEY, &k->client, t->flags & HASH_PORT ? port : 0) % SLOTS;
	unsure(slot);
	if (slot >= SLOTS)
		return -NO_SERVER;
	u16 server = t->slots[slot];
	if (server >= SERVERS)
		return -NO_SERVER;
	struct place p = {.server = server, .generation = t->servers[server].generation};
	map_update(&pen_flows, k, &p, 0);
	return server;
}

inlined void add(struct traffic *t, u32 bytes) {
	/* Not atomic: nobody else adds on this processor, and the daemon only looks. */
	t->packets++;
	t->bytes += bytes;
}

/* outer4 and outer6 write the header of a packet of n bytes and protocol proto to b. */
inlined void outer4(u32 *b, const struct sources *s, const struct server *to, u8 proto, u8 class, u32 n, u64 h) {
	u32 sum = 0;
	b[0] = be32(0x45000000 | (u32)class << 16 | (n + 20));
	b[1] = be32(0x4000); /* don't fragment */
	b[2] = be32(64 << 24 | (u32)proto << 16);
	b[3] = be32(s->four | ((h >> 32) & s->four_varies));
	b[4] = to->addr.word[3];
	for (int i = 0; i < 5; i++)
		sum += (b[i] >> 16) + (b[i] & 0xffff);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	b[2] |= (u32)fold(sum) << 16;
#else
	b[2] |= fold(sum);
#endif
}

inlined void outer6(u32 *b, const struct sources *s, const struct server *to, u8 proto, u8 class, u32 n, u64 h) {
	union addr src = {.half = {be64(s->six[0]), be64(s->six[1] | (h & s->six_varies))}};
	b[0] = be32(6u << 28 | (u32)class << 20 | (u32)(h >> 44));
	b[1] = be32(n << 16 | (u32)proto << 8 | 64);
	for (int i = 0; i < 4; i++) {
		b[2 + i] = src.word[i];
		b[6 + i] = to->addr.word[i];
	}
}

/* room makes room for an outer header of extra bytes. What has to be cut the network card cuts smaller than the sender
 * wanted, if need be. */
inlined int room(frame *f, const struct packet *p, const struct server *to, u32 extra) {
	u32 n = p->end - p->l3;
#ifdef XDP
	/* What has to be cut looks like what is too big; packet sockets see which it is. */
	return n > to->mtu || xdp_adjust_head(f, -(int)extra) ? HAND : 0;
#else
	u64 flags = extra == 20 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	if (f->gso_size) {
		u32 each = p->body - p->l3 + f->gso_size;
		if (!p->body || n + extra > 0xffff)
			return HAND;
		if (each <= to->mtu)
			flags |= BPF_F_ADJ_ROOM_FIXED_GSO;
		else if (p->proto != TCP || each - extra > to->mtu)
			return HAND;
	} else if (n > to->mtu) {
		return HAND;
	}
	return skb_adjust_room(f, (int)extra, BPF_ADJ_ROOM_MAC, flags) ? HAND : 0;
#endif
}

/* wrap puts the packet into one to the server. */
apart int wrap(frame *f, const struct packet *p, const struct sources *from, const struct server *to, u64 h) {
	if (!p || !from || !to)
		return TRUNCATED;
	u32 ip[10], at = p->l3, n = p->end - at;
	int four = to->addr.half[0] == 0 && to->addr.word[2] == be32(0xffff), v;
	u8 first[2], class, proto = IPV4;
	if (load(f, at, first, sizeof first))
		return TRUNCATED;
	class = first[1];
	if (first[0] >> 4 == 6) {
		proto = IPV6;
		class = first[0] << 4 | first[1] >> 4;
	}
	v = room(f, p, to, four ? 20 : 40);
	if (v)
		return v;
	if (four)
		outer4(ip, from, to, proto, class, n, h);
	else
		outer6(ip, from, to, proto, class, n, h);
	if (four ? store(f, at, ip, 20) : store(f, at, ip, 40))
		return TRUNCATED;
	return 0;
}

inlined int process(frame *f, u32 length, struct counts *c, u32 *local) {
	struct ethernet *eth = ethernet(f);
	u32 zero = 0, at = sizeof *eth;
	void *tables = map_lookup(&pen_tables, &zero);
	struct table *t = tables ? map_lookup(tables, &zero) : 0;
	if (!t || t->flags & USER || !eth || !same(&eth->dst, &t->mac))
		return PASS;
	int ours = same(&eth->src, &t->mac);
	u16 type = get16(eth->type), outer = type;
	for (int i = 0; i < 2 && (type == TYPE_VLAN || type == TYPE_QINQ); i++) {
		u8 tag[4] __attribute__((aligned(4)));
		if (load(f, at, tag, sizeof tag))
			return PASS;
		type = get16(tag + 2);
		at += sizeof tag;
	}
	struct packet p = {.l3 = at};
	u32 four;
	if (type == TYPE_IPV4) {
		if (load(f, at + 16, &four, sizeof four))
			return PASS;
		mapped(&p.dst, four);
	} else if (type != TYPE_IPV6 || load(f, at + 24, &p.dst, sizeof p.dst)) {
		return PASS;
	}
	struct vip *vip = vip_of(&p.dst, 0, ANY_OF);
	if (!vip)
		return PASS;
	*local = vip->number & LOCAL;
	int v = decode(f, at, length, type == TYPE_IPV6 ? SIX : 0, &p);
	if (v)
		return v;
	if (ours)
		return LOOP;
	struct flow_key k = {};
	u16 port = 0;
	v = flow(f, &p, &k, &port, &vip);
	if (v)
		return v;
	int server = route(t, &k, port, p.proto == TCP && !p.later && (p.flags & (SYN | ACK)) == SYN);
	if (server < 0)
		return -server;
	unsure(server);
	if ((u32)server >= SERVERS)
		return NO_SERVER;
	struct server *to = &t->servers[server];
	if (p.fragment && !p.later) {
		struct flow_key rest = {.client = p.src, .vip = p.dst, .ports = p.id, .proto = p.proto, .fragments = 1};
		struct place place = {.server = server, .generation = to->generation};
		map_update(&pen_flows, &rest, &place, 0);
	}
	if (same(&to->mac, &t->mac))
		return LOOP;
	if (to->flags & TUNNEL) {
		if (at != sizeof *eth)
			return OTHER; /* the way on has no tags */
		v = wrap(f, &p, &t->outer, to, hash(SOURCE_KEY, &k.client, port));
		if (v)
			return v;
		outer = to->addr.half[0] == 0 && to->addr.word[2] == be32(0xffff) ? TYPE_IPV4 : TYPE_IPV6;
	}
	/* By a call: beside a program that writes straight the kernel makes whole frames writable, also those that pass. */
	struct ethernet out = {.dst = to->mac, .src = t->mac, .type = {outer >> 8, outer}};
	if (store(f, 0, &out, sizeof out))
		return TRUNCATED;
	add(&c->servers[server], length);
	u32 number = vip->number & ~LOCAL;
	if (number < VIPS)
		add(&c->vips[number], length);
	return FORWARDED;
}

/* count is process, counted; what is dropped although this machine has the address goes to its stack. */
inlined int count(frame *f, u32 length) {
	u32 cpu = processor(), local = 0;
	struct counts *c = map_lookup(&pen_counts, &cpu);
	if (!c)
		return PASS;
	int v = process(f, length, c, &local);
	if (v == HAND)
		return HAND;
	if (v < 0 || v >= VERDICTS || (v && local))
		return PASS;
	c->verdicts[v]++;
	return v;
}

#ifdef XDP
SEC("xdp")
int pen_dsr(struct xdp_md *f) {
	int v = count(f, xdp_length(f));
	return v < 0 ? XDP_PASS : v == FORWARDED ? XDP_TX : XDP_DROP;
}
#else
SEC("tcx/ingress")
int pen_dsr(struct __sk_buff *f) {
	/* The sockets have had it now. Who marks frames so on his own loses them. */
	if (f->mark == MARK)
		return TC_ACT_SHOT;
	/* A tag that the kernel has taken off belongs to the interface of that VLAN. */
	int v = f->vlan_present ? PASS : count(f, f->len);
	if (v == HAND) {
		/* The sockets are before this program: once more from the beginning. */
		f->mark = MARK;
		return redirect(f->ifindex, BPF_F_INGRESS);
	}
	return v == PASS ? TC_ACT_UNSPEC : v == FORWARDED ? redirect(f->ifindex, 0) : TC_ACT_SHOT;
}
#endif

char pen_license[] SEC("license") = "Dual MIT/GPL";
