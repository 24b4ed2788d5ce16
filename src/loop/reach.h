/* loop/reach.h: what of the network can be reached from here
 * Time     no packet is sent: a datagram socket is connected, which asks the routing table alone */
#ifndef LOOP_REACH_H
#define LOOP_REACH_H

#include <stdbool.h>

/* Is there a route for IPv6? */
bool reach_ip6(void);

#endif
