/* symbols_subject.S: code with names of every kind, for the table that tools/make-symbols makes of it. */
    .text
    .skip 16
image_start = .
    .skip 8
    .globl first
first:
    .skip 3
kernel_main:
    .skip 100
kernel_power_off:
kernel_poweroff_alias:
    .skip 1
kernel_reboot:
    .skip 1
a:
    .skip 40
kernel_wait_for_a_device_to_do_something_that_takes_a_very_long_time:
    .skip 4096
exactly_sixty_three_bytes_long_so_that_it_just_fits_in_its_place:
    .skip 2
exactly_sixty_four_bytes_long_so_that_one_of_them_has_no_place_:
    .skip 2
device_window_open:
    .skip 7
device_window_close:
    .skip 7
OUTLINED_FUNCTION_7:
    .skip 9
OUTLINED_FUNCTION_8:
    .skip 9
OUTLINED_FUNCTION_10:
    .skip 130
of_two_files.1401:
    .skip 3
OUTLINED_FUNCTION_9:
    .skip 3
last_one:
    .skip 64

    .data
not_code:
    .byte 1
