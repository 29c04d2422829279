/* main.c: greet, a client of hello: calls it with each of its arguments and prints the answers. */
#include <lib/string.h>
#include <vmos/service.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char answer[65] = "";
        uint32_t label = 0;
        enum status status = call(first_buffer, start_handle("hello"), &label, argv[i], strnlen(argv[i], 24), answer,
                                  sizeof answer - 1, now_ns() + 10 * NANOSECONDS_PER_SECOND);
        if (status != STATUS_OK) {
            printf("hello does not answer: %s\n", status_text(status));
            return 1;
        }
        printf("%s\n", answer);
    }
    return 0;
}
