# up
nft -f - <<'END'
table inet pen_4d371f {}
delete table inet pen_4d371f
table inet pen_4d371f {
	chain answers {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto { tcp, udp } socket transparent 1 meta mark set 0x704d371f
	}
}
END
ip -4 rule add pref 100 fwmark 0x704d371f lookup 1884108575
ip -4 route replace local default dev lo table 1884108575
# down
ip -4 rule del pref 100 fwmark 0x704d371f lookup 1884108575
ip -4 route flush table 1884108575
nft delete table inet pen_4d371f
