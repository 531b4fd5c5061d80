"""The log of CASA calls: kept across interruptions, merged in the recipe's order."""

from vlasscube.products.command_log import begin_call_log, merged_command_log, recipe_script


def test_an_interrupted_step_goes_on_with_its_log(tmp_path):
    log = tmp_path / "calls" / "make_images.spw2.py"
    begin_call_log(log, "k1")
    with log.open("a") as stream:
        stream.write("tclean()\n")
    begin_call_log(log, "k1")
    assert "tclean()" in log.read_text()
    begin_call_log(log, "k2")
    assert "tclean()" not in log.read_text()


def test_steps_stand_in_the_order_of_the_recipe(tmp_path):
    for name, call in {
        "pbcor.spw3": "impbcor(3)",
        "make_images.spw3": "tclean(3)",
        "make_images.spw2": f"tclean('{tmp_path}/working/a')",
        "import_data": "listobs()",
        "make_images.spw9": "stale()",
    }.items():
        begin_call_log(tmp_path / f"{name}.py", "key")
        with (tmp_path / f"{name}.py").open("a") as stream:
            stream.write(f"{call}\n")
    text = merged_command_log(tmp_path, [tmp_path, tmp_path / "working"], ["spw2", "spw3"])
    calls = ["listobs()", "tclean('a')", "tclean(3)", "impbcor(3)"]
    places = [text.index(call) for call in calls]
    assert places == sorted(places)
    assert "stale" not in text
    assert "# step" not in text
    assert text.startswith("raise RuntimeError(")


def test_the_recipe_is_python_in_the_official_order():
    text = recipe_script()
    compile(text, "recipe", "exec")
    assert text.index("hifv_restorepims(w") < text.index("hif_makeimages(w") < text.index("hifv_pbcor(w")
    assert "parameter_file='CCIP_parameter.list', editmode='replace'" in text
