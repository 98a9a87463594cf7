# SPDX-License-Identifier: MIT
# Installs the headers, a CMake package and a pkg-config file, none of which depends on the architecture.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/attune)
set(package_build_dir ${CMAKE_CURRENT_BINARY_DIR}/package)

install(TARGETS attune EXPORT attune-targets FILE_SET HEADERS)
install(EXPORT attune-targets NAMESPACE attune:: DESTINATION ${package_dir})
configure_package_config_file(cmake/attune-config.cmake.in ${package_build_dir}/attune-config.cmake INSTALL_DESTINATION ${package_dir}
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(${package_build_dir}/attune-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${package_build_dir}/attune-config.cmake ${package_build_dir}/attune-config-version.cmake cmake/attune-components.cmake
        DESTINATION ${package_dir})

# The prefix is derived from where the file lies, so it is right after `cmake --install --prefix` and after moving the tree.
file(RELATIVE_PATH prefix_from_pcfiledir /prefix/${CMAKE_INSTALL_DATADIR}/pkgconfig /prefix)
configure_file(cmake/attune.pc.in ${package_build_dir}/attune.pc @ONLY)
install(FILES ${package_build_dir}/attune.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/attune)
