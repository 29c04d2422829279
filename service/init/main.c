#include <vmos/service.h>
int main(int argc, char **argv)
{
    handle process;
    struct spawn spawn = {.file = argv, .size = 1, .arguments = argv[0]};
    (void)argc;
    spawn_process(&spawn, &process);
    printf("init from %s\n", argv[0]);
    return 0;
}
