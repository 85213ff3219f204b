//! The checks by scenario: few boots, many checks each; the longest first, since two guests run at a
//! time.

mod apply;
mod attach;
mod bind;
mod cni;
mod counts;
mod disk;
mod doctor;
mod lists;
mod netdevsim;
mod numvfs;
mod order;
mod package;
mod points;
mod reboot;
mod refusals;
mod set_vf;
mod soak;
mod terminal;

use crate::Scenario;
use crate::guest::Check;

/// A list of checks named after their functions.
macro_rules! checks {
    ($($module:ident :: $check:ident),* $(,)?) => {
        &[$(Check { name: concat!(stringify!($module), "::", stringify!($check)), run: $module::$check }),*]
    };
}

const fn boot(
    name: &'static str,
    lab_options: &'static [&'static str],
    checks: &'static [Check],
) -> Scenario {
    Scenario { name, lab_options, checks, again: &[] }
}

pub const SCENARIOS: &[Scenario] = &[
    boot("ADD, every call killed", &["--pfs", "1"], checks![points::add_killed]),
    boot("ADD, every call failing", &["--pfs", "1"], checks![points::add_failing]),
    boot("numbers, every call failing", &["--pfs", "1"], checks![points::set_numvfs_failing]),
    boot(
        "DEL, attach, detach, every call failing",
        &["--pfs", "1"],
        checks![points::del_failing, points::attach_failing, points::detach_failing],
    ),
    boot(
        "DEL, attach, detach, every call killed",
        &["--pfs", "1"],
        checks![points::del_killed, points::attach_killed, points::detach_killed],
    ),
    boot(
        "drivers and numbers, every call killed",
        &["--pfs", "1"],
        checks![points::bind_killed, points::restore_killed, points::set_numvfs_killed],
    ),
    boot(
        "drivers, every call failing",
        &["--pfs", "1"],
        checks![points::bind_failing, points::restore_failing],
    ),
    Scenario {
        name: "booted again",
        lab_options: &["--pfs", "1"],
        checks: checks![
            reboot::what_is_attached_when_the_power_goes,
            apply::what_is_kept_when_the_power_goes,
        ],
        again: checks![reboot::is_in_nobodys_way_after_it, apply::comes_back_at_boot],
    },
    boot(
        "any order",
        &["--pfs", "3"],
        checks![
            order::calls_that_meet,
            order::a_resize_beside_attachments,
            order::a_clock_that_is_set,
            order::two_hundred_at_once,
            soak::adds_and_dels,
        ],
    ),
    boot(
        "at a terminal",
        &["--pfs", "1"],
        checks![
            terminal::bash_completes_with_what_is_free,
            terminal::zsh_completes_with_what_is_free,
            terminal::fish_completes_with_what_is_free,
            terminal::set_numvfs_asks_and_takes_no_for_an_answer,
            terminal::attach_and_detach_ask_for_what_is_missing,
            terminal::an_interrupted_change_is_undone,
            terminal::top_shows_what_passes_and_leaves_the_terminal_as_it_was,
            terminal::an_interrupted_question_changes_nothing_and_leaves_the_terminal_as_it_was,
        ],
    ),
    boot(
        "as documented",
        &["--pfs", "1"],
        checks![
            counts::calls_cost_no_more_than_they_did,
            package::it_installs_works_and_purges_clean,
            package::the_rpm_installs_works_and_erases_clean,
            package::every_recipe_of_the_readme_runs,
            package::every_example_of_the_man_pages_runs,
        ],
    ),
    boot(
        "under load",
        &["--pfs", "3"],
        checks![attach::a_pool_under_load_loses_none_and_gives_none_twice],
    ),
    boot(
        "odd disks",
        &["--pfs", "1"],
        checks![disk::full, disk::read_only, disk::lost, disk::odd_things, disk::odd_directories,],
    ),
    boot(
        "lists and numbers on two PFs and an NVMe",
        &["--pfs", "2", "--nvme"],
        checks![
            lists::agree_with_ip_lspci_and_sysfs,
            lists::a_vf_in_a_named_namespace_is_found,
            lists::a_vf_in_a_processs_namespace_is_found,
            lists::a_pf_in_another_namespace_is_found,
            lists::nvme_is_listed_only_when_asked_for,
            lists::selectors_name_what_they_say,
            lists::need_no_rights,
            lists::a_closed_pipe_is_no_error,
            lists::names_steer_no_terminal,
            lists::watch_tells_what_happens,
            numvfs::from_none_to_four,
            numvfs::four_configured_vfs_survive_a_resize,
            numvfs::the_same_number_writes_nothing,
            numvfs::vfio_at_creation,
            numvfs::without_autoprobe,
            numvfs::a_vf_on_vfio_stays_on_vfio,
            numvfs::dry_run_changes_nothing_and_its_shell_works,
            numvfs::of_a_storage_device,
            doctor::the_printed_commands_mend_pfs_and_vfs,
            doctor::the_printed_commands_make_a_host_ready,
            doctor::the_printed_commands_mend_records_and_their_disk,
            doctor::whatever_else_sets_vfs_is_found_and_kept_from_it,
            doctor::needs_no_rights,
        ],
    ),
    boot(
        "attaching on two PFs",
        &["--pfs", "2"],
        checks![
            attach::ten_cycles_on_each_of_seven_vfs_with_every_option,
            attach::a_mac_is_set_without_trust_and_without_waiting,
            attach::namespaces_hear_each_other_in_the_same_vlan_only,
            attach::whatever_became_of_it_it_comes_back_as_it_was,
            attach::a_vf_that_was_bound_to_vfio_meanwhile_comes_back,
            attach::a_vf_on_vfio_is_recorded_and_given_back,
            attach::a_renamed_pf_is_no_obstacle,
            attach::a_name_taken_on_the_host_keeps_the_record,
            attach::refusals_change_nothing,
            attach::a_step_that_fails_undoes_all_before_it,
            attach::who_has_what_is_told_and_put_right,
            attach::late_and_repeated_detaches_change_nothing,
            attach::the_pf_itself_moves_and_comes_back,
            attach::the_host_sees_no_other_name,
            attach::two_at_once_get_one_vf_once,
            attach::what_lives_in_a_namespace_is_not_taken_when_its_path_goes,
            attach::a_namespace_made_anew_under_the_same_name_is_another,
            attach::addresses_can_be_used_at_once,
            attach::every_drift_is_told_and_set_again,
            attach::the_printed_shell_of_detach_works,
            attach::a_pf_that_is_away_keeps_the_record_and_is_named,
            set_vf::each_setting_is_seen_by_ip,
            set_vf::a_range_is_set_and_the_printed_shell_does_the_same,
            set_vf::what_igb_cannot_is_unsupported_with_its_reason,
            set_vf::strict_leaves_nothing_half_set,
            set_vf::a_vf_that_belongs_to_somebody_is_refused,
            set_vf::a_mac_where_the_interface_is_used_elsewhere_or_by_nobody,
            apply::a_file_makes_a_host_and_the_second_time_nothing_is_written,
            apply::what_is_exported_is_applied_without_a_change,
            apply::what_cannot_be_keeps_everything_from_being_changed,
        ],
    ),
    boot(
        "drivers",
        &["--pfs", "1", "--memory", "1536"],
        checks![
            bind::ten_times_to_vfio_and_back,
            bind::ten_times_to_uio_and_back,
            bind::a_step_that_fails_leaves_driver_override_and_name,
            bind::a_dpdk_program_of_an_ordinary_user_answers_pings,
            bind::each_refusal_has_its_own_sentence_and_changes_nothing,
            bind::a_pf_with_the_default_route_is_refused,
            bind::a_held_group_names_the_process,
            bind::what_the_host_would_lose_unseen_is_refused_too,
            bind::a_record_of_a_vf_that_is_gone_is_not_for_the_next,
            bind::without_its_module_nothing_is_taken_away,
            bind::names_that_are_taken_or_swapped_keep_nobody_away,
            bind::what_was_bound_by_hand_and_what_persists_can_be_given_back,
            bind::without_autoprobe_the_kernel_driver_comes_back,
            bind::the_printed_shell_does_the_same,
            bind::the_status_agrees_with_sysfs,
            bind::a_bound_vf_can_be_attached_and_resized,
            bind::a_persistent_binding_is_made_when_the_vf_appears,
        ],
    ),
    boot(
        "container runtimes",
        &["--pfs", "1", "--memory", "1536"],
        checks![
            cni::each_dialect_adds_checks_and_gives_back,
            cni::dpdk_and_the_pf_itself_come_back,
            cni::whatever_fails_leaves_neither_lease_nor_change,
            cni::check_tells_each_drift_and_writes_nothing,
            cni::gc_gives_back_what_is_not_listed,
            cni::the_namespace_may_be_gone_before_del,
            cni::what_other_plugins_attached_is_given_back_from_their_records,
            cni::odd_files_late_calls_and_odd_plugins_do_no_harm,
            cni::dhcp_works_through_the_interface,
            cni::the_hosts_log_gets_the_lines,
            cni::containerd_starts_seven_containers_that_ping_each_other,
            cni::pods_of_containerd_ping_each_other_and_leave_nothing,
        ],
    ),
    boot(
        "cards without isolation",
        &["--pfs", "1", "--no-acs"],
        checks![bind::a_shared_group_names_its_members],
    ),
    boot(
        "refusals",
        &["--pfs", "1"],
        checks![
            numvfs::killed_half_way_the_former_vfs_come_back,
            refusals::more_than_possible,
            refusals::vfs_in_use_are_named,
            refusals::a_held_vfio_group_names_the_process,
            refusals::a_stalled_write_ends_in_time,
            refusals::a_second_changer_waits_and_names_the_first,
            refusals::an_unknown_driver_leaves_everything,
            refusals::without_rights,
            refusals::setuid_setgid_and_file_capabilities_are_refused,
            refusals::rights_that_are_not_needed_are_given_up,
        ],
    ),
    boot(
        "a two-port card without IOMMU",
        &["--pfs", "0", "--dual-port", "--no-iommu"],
        checks![
            lists::interleaved_vfs_belong_to_their_ports,
            refusals::vfio_without_iommu_restores_the_former_vfs,
            bind::without_an_iommu_there_is_a_hint_and_no_change,
            doctor::without_an_iommu_it_says_why,
        ],
    ),
    boot(
        "netdevsim",
        &["--pfs", "0"],
        checks![
            netdevsim::lists_512_vfs_with_every_setting,
            netdevsim::lists_256_vfs_with_counters,
            netdevsim::set_numvfs_works_without_pci,
            set_vf::netdevsim_takes_what_igb_does_not,
            apply::the_eswitch_mode_is_set_where_there_is_one,
        ],
    ),
];
