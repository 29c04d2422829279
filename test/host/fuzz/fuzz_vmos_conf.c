/* fuzz_vmos_conf.c: any bytes as vmos.conf: lines lie inside, numbers within what their keys allow. */
#include <lib/manifest.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_list(const struct manifest_list *list)
{
    if (list->count > MANIFEST_LISTED_MOST)
        abort();
    for (unsigned i = 0; i < list->count; i++)
        if (strnlen(list->words[i], MANIFEST_WORD_SIZE) == 0 ||
            strnlen(list->words[i], MANIFEST_WORD_SIZE) == MANIFEST_WORD_SIZE)
            abort();
}

static void check_service(const struct manifest_service *service, const char *text, size_t size)
{
    if (strnlen(service->name, NAME_SIZE) % NAME_SIZE == 0 || strnlen(service->program, NAME_SIZE) % NAME_SIZE == 0 ||
        strchr(service->program, '/') != NULL || service->program[0] == '.' || service->priority >= PRIORITIES ||
        service->cpu_promille > 1000 || service->period_ns == 0 || service->limits[BUDGET_HANDLES] == 0 ||
        service->limits[BUDGET_MEMORY] < 16 << 10 || service->stack < 4096 || service->stack > 4 << 20)
        abort();
    if (service->arguments_length != 0 &&
        (service->arguments < text || service->arguments + service->arguments_length > text + size))
        abort();
    check_list(&service->give);
    check_list(&service->offer);
    check_list(&service->use);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    struct manifest_cursor cursor = {.text = text, .size = size};
    struct manifest_service service;
    struct manifest_line line;
    unsigned before = 0;

    while (manifest_next(&cursor, &line)) {
        char sentence[160];
        if (line.number <= before || cursor.at > size)
            abort();
        before = line.number;
        if (line.mistake.expected == NULL &&
            (line.kind == MANIFEST_UNKNOWN || line.name < text || line.options + line.options_length > text + size))
            abort();
        if (line.mistake.expected == NULL && line.kind == MANIFEST_SERVICE && manifest_service(&line, &service))
            check_service(&service, text, size);
        if (line.mistake.expected != NULL)
            manifest_sentence(&line, sentence, sizeof sentence);
    }
    return 0;
}
