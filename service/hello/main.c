#include <vmos/service.h>
int main(int argc, char **argv)
{
    (void)argc;
    printf("hello from %s\n", argv[0]);
    return 0;
}
