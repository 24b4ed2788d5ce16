#include "auth/core_internal.h"

void auth_list_init(struct auth_link *head)
{
	head->prev = head->next = head;
}

bool auth_list_empty(const struct auth_link *head)
{
	return head->next == head;
}

void auth_list_push(struct auth_link *head, struct auth_link *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

void auth_list_remove(struct auth_link *link)
{
	if (!link->next)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->prev = link->next = NULL;
}
