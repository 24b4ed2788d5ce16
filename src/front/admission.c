/* front/admission.c: what a client may do, by its login or by its address */
#include "front/core.h"

bool front_session_is_trusted(const struct front_session *s)
{
	return s->user || s->admission.may_relay;
}

/* "example.org", or ".example.org": all names below. */
static bool is_in(const struct conf_strings *domains, struct base_slice domain)
{
	for (size_t i = 0; i < domains->count; i++) {
		struct base_slice item = base_slice_text(domains->items[i]);

		if (base_slice_equal_nocase(domain, item) ||
			(domains->items[i][0] == '.' && domain.len > item.len &&
				base_slice_ends_with_nocase(domain, item)))
			return true;
	}
	return false;
}

/* Whom we trust may send anywhere; others only to what the listener accepts. */
bool front_session_may_send_to(const struct front_session *s, struct base_slice address)
{
	size_t at = base_slice_find_last(address, '@');

	return front_session_is_trusted(s) ||
		is_in(&s->listener->accept, base_slice_from(address, at + 1));
}

/* RFC 5321 section 4.5.1 wants postmaster to be reached by everybody. */
bool front_session_is_guarded(const struct front_session *s, struct base_slice address)
{
	size_t at = base_slice_find_last(address, '@');

	return !front_session_is_trusted(s) && front_session_may_send_to(s, address) &&
		!base_slice_equal_text_nocase(base_slice_first(address, at), "postmaster");
}
