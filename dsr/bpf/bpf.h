/* SPDX-License-Identifier: MIT OR GPL-2.0-only */

/* The part of the kernel's interface (linux/bpf.h) that dsr.c needs, so that the objects depend on no header of the
 * machine that builds them. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#define inlined static inline __attribute__((always_inline))
#define called static __attribute__((noinline))

/* A function apart is looked at by the verifier for itself, whoever calls it with what, and not once for each path that
 * leads to it. Its pointers may be null for all that it knows. */
#define apart __attribute__((noinline))

/* unsure makes the compiler forget what it knows of x, so that it leaves a check in which the verifier wants to see. */
#define unsure(x) asm volatile("" : "+r"(x))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define be16(x) __builtin_bswap16(x)
#define be32(x) __builtin_bswap32(x)
#define be64(x) __builtin_bswap64(x)
#else
#define be16(x) (x)
#define be32(x) (x)
#define be64(x) (x)
#endif

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_LRU_HASH = 9, BPF_MAP_TYPE_ARRAY_OF_MAPS = 12 };
enum { BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_F_INGRESS = 1, BPF_ADJ_ROOM_MAC = 1 };
enum { BPF_F_ADJ_ROOM_FIXED_GSO = 1, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 = 1 << 1, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 = 1 << 2 };
enum { TC_ACT_UNSPEC = -1, TC_ACT_SHOT = 2 };
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3 };

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
		ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id, family, remote_ip4, local_ip4, remote_ip6[4],
		local_ip6[4], remote_port, local_port, data_meta;
	u64 flow_keys, tstamp;
	u32 wire_len, gso_segs;
	u64 sk;
	u32 gso_size;
};

struct xdp_md {
	u32 data, data_end;
};

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u32 (*const processor)(void) = (void *)8;
static long (*const skb_store)(void *skb, u32 at, const void *from, u32 n, u64 flags) = (void *)9;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const skb_load)(const void *skb, u32 at, void *to, u32 n) = (void *)26;
static long (*const xdp_adjust_head)(void *xdp, int by) = (void *)44;
static long (*const skb_adjust_room)(void *skb, int by, u32 where, u64 flags) = (void *)50;
static u64 (*const xdp_length)(void *xdp) = (void *)188;
static long (*const xdp_load)(void *xdp, u32 at, void *to, u32 n) = (void *)189;
static long (*const xdp_store)(void *xdp, u32 at, void *from, u32 n) = (void *)190;
