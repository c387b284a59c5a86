# The program that the KVM probe times: as many instructions in real, protected and long mode, the last with paging.
# It prints r, p and l on QEMU's debug console as it ends in each mode, then leaves by `isa-debug-exit`.
# Its code is kept as bytes in firmware.py; a test assembles this file and compares.
        .set ROUNDS, 17000000
        .set EXIT_PORT, 0xf4
        .set MARK_PORT, 0xe9
        .set LOW, 0xf0000                 # where the firmware's last 64 KiB are mirrored below 1 MiB

        .macro count                      # ROUNDS times two instructions
        movl    $ROUNDS, %ecx
1:      decl    %ecx
        jnz     1b
        .endm

        .macro mark letter
        movb    $\letter, %al
        outb    %al, $MARK_PORT
        .endm

        .code16
start:  cli
        count
        mark    'r'
        lgdtl   %cs:(gdtr - start)
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $0x08, $(LOW + protected - start)

        .code32
protected:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        count
        mark    'p'
        movl    $0x1000, %edi             # three page tables: the first 2 MiB onto themselves
        xorl    %eax, %eax
        movl    $0xc00, %ecx
        cld
        rep stosl
        movl    $0x2003, 0x1000
        movl    $0x3003, 0x2000
        movl    $0x0083, 0x3000
        movl    %cr4, %eax
        orl     $0x20, %eax               # PAE
        movl    %eax, %cr4
        movl    $0x1000, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx         # EFER.LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax         # PG
        movl    %eax, %cr0
        ljmpl   $0x18, $(LOW + long - start)

        .code64
long:   count
        mark    'l'
        movb    $0x2a, %al
        outb    %al, $EXIT_PORT
2:      hlt
        jmp     2b

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff        # 0x08: code, 32 bits, flat
        .quad   0x00cf93000000ffff        # 0x10: data, flat
        .quad   0x00209b0000000000        # 0x18: code, 64 bits
gdtr:   .word   gdtr - gdt - 1
        .long   LOW + gdt - start
