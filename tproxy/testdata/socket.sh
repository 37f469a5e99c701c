# up
nft -f - <<'END'
table inet pen_4d358c {}
delete table inet pen_4d358c
table inet pen_4d358c {
	chain answers {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto { tcp, udp } socket transparent 1 meta mark set 0x704d358c
	}
}
END
ip -4 rule add pref 100 fwmark 0x704d358c lookup 1884108172
ip -4 route replace local default dev lo table 1884108172
ip -6 rule add pref 100 fwmark 0x704d358c lookup 1884108172
ip -6 route replace local default dev lo table 1884108172
# down
ip -4 rule del pref 100 fwmark 0x704d358c lookup 1884108172
ip -4 route flush table 1884108172
ip -6 rule del pref 100 fwmark 0x704d358c lookup 1884108172
ip -6 route flush table 1884108172
nft delete table inet pen_4d358c
