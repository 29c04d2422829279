/* main.c: hello, the example of docs/writing-a-service.md: greets whoever calls it by name, and counts. */
#include <lib/string.h>
#include <vmos/service.h>

static uint64_t greet(struct server *server, struct request *request, struct message_buffer *buffer)
{
    static unsigned long long count;
    char name[24] = "", *text = (char *)buffer->words;
    size_t size = MESSAGE_BYTES(request->message);

    (void)server;
    memcpy(name, buffer->words, size < sizeof name ? size : sizeof name - 1);
    snprintf(text, sizeof buffer->words, "hello %s, you are number %llu", name, ++count);
    return MESSAGE(STATUS_OK, strlen(text), 0);
}

int main(int argc, char **argv)
{
    struct server server = {.endpoint = start_handle("hello"), .call = greet};

    (void)argc, (void)argv;
    if (server.endpoint == 0) {
        printf("nobody can call me: my line in vmos.conf should say offer=hello\n");
        return 1;
    }
    printf("at your service\n");
    return (int)serve(&server, first_buffer);
}
