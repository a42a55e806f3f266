// Run an exported simulation from C++: OpenMM and openmm-torch, no Python in the process.
//
//     openmm_torch_run FOLDER PLUGINS STEPS
//
// FOLDER is what "cgplugin export MODEL STRUCTURE --engine torch --out FOLDER" wrote, PLUGINS the folder of OpenMM's plug-ins.
// Prints the positions of the beads in nm after STEPS steps, one bead a line. docs/openmm_torch.md says how to build it.

#include <OpenMM.h>
#include <openmm/serialization/XmlSerializer.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

template <class T>
std::unique_ptr<T> readXml(const std::string& path) {
    std::ifstream file(path);
    if (!file)
        throw std::runtime_error(path + ": no such file");
    return std::unique_ptr<T>(OpenMM::XmlSerializer::deserialize<T>(file));
}

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: " << argv[0] << " FOLDER PLUGINS STEPS\n";
        return 2;
    }
    try {
        const std::string folder = argv[1];
        OpenMM::Platform::loadPluginsFromDirectory(argv[2]);
        auto system = readXml<OpenMM::System>(folder + "/system.xml");
        auto integrator = readXml<OpenMM::CustomIntegrator>(folder + "/integrator.xml");
        auto start = readXml<OpenMM::State>(folder + "/state.xml");
        OpenMM::Context context(*system, *integrator, OpenMM::Platform::getPlatformByName("CPU"));
        context.setState(*start);
        integrator->step(std::atoi(argv[3]));

        // beads come first, and have a mass; the helpers behind them have next to none
        const auto positions = context.getState(OpenMM::State::Positions).getPositions();
        std::cout.precision(17);
        for (int i = 0; i < system->getNumParticles() && system->getParticleMass(i) > 1e-3; i++)
            std::cout << positions[i][0] << ' ' << positions[i][1] << ' ' << positions[i][2] << '\n';
    }
    catch (const std::exception& error) {
        std::cerr << argv[0] << ": " << error.what() << '\n';
        return 1;
    }
    return 0;
}
