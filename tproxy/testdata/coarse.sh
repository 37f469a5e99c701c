# up
nft -f - <<'END'
table inet pen_4d38b2 {}
delete table inet pen_4d38b2
table inet pen_4d38b2 {
	chain answers {
		type filter hook prerouting priority mangle; policy accept;
		ip saddr 10.8.2.2 meta l4proto { tcp, udp } th sport 80 fib daddr type != local meta mark set 0x704d38b2
		ip6 saddr fd08:2::2 meta l4proto { tcp, udp } th sport 8080 fib daddr type != local meta mark set 0x704d38b2
	}
}
END
ip -4 rule add pref 100 fwmark 0x704d38b2 lookup 1884108978
ip -4 route replace local default dev lo table 1884108978
ip -6 rule add pref 100 fwmark 0x704d38b2 lookup 1884108978
ip -6 route replace local default dev lo table 1884108978
# down
ip -4 rule del pref 100 fwmark 0x704d38b2 lookup 1884108978
ip -4 route flush table 1884108978
ip -6 rule del pref 100 fwmark 0x704d38b2 lookup 1884108978
ip -6 route flush table 1884108978
nft delete table inet pen_4d38b2
