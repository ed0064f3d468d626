"""Trains the flagship video GAN on ShapeShow, 32 x 32, 16 frames; every other recipe is a delta of this one.

python -m vgm_jax.main --config configs/base.py
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Every key there is, and what it means."""
    config = ConfigDict()
    config.seed = 0  # root of all randomness: weights, order of data, noise
    # What is learnt; or "autoregression", "classification", "masked_video", "summarization",
    # "question_answering", "feature_gan".
    config.task = "generation"

    config.data = ConfigDict()
    config.data.source = "shapeshow"  # where clips come from; its own settings are under data.<source>
    config.data.path = ""  # of sources that read files; "arrays": a directory of {train,validation,test}.npy
    config.data.size = 32  # height and width in pixels; of source "vectors", the numbers of one
    config.data.frames = 16  # frames a clip
    config.data.fps = 16.0  # frames a second
    config.data.seed = 0  # of sources that render
    config.data.batch_size = 16  # clips an update, over all devices
    # Of training clips, on the device (vgm_jax.data.augmentation): "reverse", "speed", "flip", "crop",
    # "translation", "colour", "cutout", "degrade". A flipped or reversed clip is of the class it then shows.
    config.data.augment = ()
    config.data.spoil_every = 0  # every n-th clip of a classifier's batch shows "none" (data.spoiling); 0: no
    config.data.workers = 0  # processes that load; 0: a thread of this one
    config.data.prefetch = 4  # batches loaded ahead
    config.data.text = ConfigDict()  # of captions; "shapeshow" and its films have words of their own
    config.data.text.length = 0  # words of a clip's caption that batches carry as "text"; 0: none
    config.data.text.most = 10_000  # words of the vocabulary, the most frequent of training's captions
    config.data.text.answers = 1000  # of listed questions: the most frequent of training's answers
    # How a generator reads captions: "words", by the condition "text"; "minilm", by "sentence", a vector that
    # a pretrained network makes of any English text. "minilm:PATH": its weights are there, not in the cache.
    config.data.text.encoder = "words"
    config.data.shapeshow = ConfigDict()
    config.data.shapeshow.variant = "single"  # or "multi": 1-3 objects with occlusion
    config.data.shapeshow.sound = "classes"  # or "synced"
    config.data.shapeshow.audio = False  # whether batches carry sound
    config.data.shapeshow.label = "motion"  # or "sound", "both", "look": shape, colour and motion in one
    config.data.shapeshow.track = False  # whether batches carry where the object is
    config.data.shapeshow.text = False  # whether batches carry the caption's words, in ShapeShow's vocabulary
    config.data.shapeshow.question = False  # whether batches carry a question, its answer and its kind
    config.data.shapeshow.more_questions = 0  # about each clip, beside that one, for learning
    config.data.shapeshow.layout = 0  # cells a side of "layout", in which batches carry what is where
    config.data.shapeshow.held_out = (
        0.0  # part of shape, colour, motion that training and validation never see
    )
    config.data.shapeshow_films = ConfigDict()  # films of some 24 shots a minute: data.frames=480, data.fps=8
    config.data.shapeshow_films.audio = False  # this and the next two as with shapeshow
    config.data.shapeshow_films.text = False
    config.data.shapeshow_films.question = False
    config.data.shapeshow_films.films = 512  # for training; an eighth of them for validation, and for test
    config.data.arrays = ConfigDict()  # nothing of its own
    config.data.folder = ConfigDict()
    config.data.folder.seed = 0  # of which videos are for validation and test
    config.data.folder.rate = 0.0  # frames a second of .npy and folders of pictures; 0: they are at data.fps
    config.data.folder.labels = False  # whether sub-folders are classes
    # Whether a sub-folder (a patient, a camera) is in one split as a whole; with labels, one of a class's.
    config.data.folder.groups = False
    config.data.folder.audio = False  # whether batches carry sound; silence where a video has none
    config.data.folder.memory = 1024.0  # MiB a process for decoded clips
    config.data.tfds = ConfigDict()
    config.data.tfds.name = ""  # of the data set in data.path; "": data.path holds its dataset_info.json
    config.data.tfds.train = "train"  # what TFDS calls the splits; or parts of them, such as "train[:90%]"
    config.data.tfds.validation = "validation"
    config.data.tfds.test = "test"
    config.data.tfds.video = "video"  # names of the features; the next three may be absent, or "": none
    config.data.tfds.label = "label"
    config.data.tfds.caption = "caption"
    config.data.tfds.times = "times"
    config.data.tfds.audio = ""  # the feature with the sound, such as "audio"; "": batches carry none
    config.data.tfds.rate = 0.0  # frames a second of stored videos without times; 0: they are at data.fps
    config.data.ucf101 = ConfigDict()
    config.data.ucf101.number = 1  # of the official split, 1 to 3
    config.data.ucf101.seed = 0  # of which groups of the train list are for validation
    config.data.ucf101.memory = 1024.0
    config.data.kinetics = ConfigDict()
    config.data.kinetics.memory = 1024.0
    config.data.something = ConfigDict()
    config.data.something.memory = 1024.0
    config.data.msrvtt = ConfigDict()
    config.data.msrvtt.cut = True  # the files are the clips; False: whole films, of which the list says when
    config.data.msrvtt.questions = False  # whether batches carry MSRVTT-QA's questions, of its lists
    config.data.msrvtt.memory = 1024.0
    config.data.summaries = ConfigDict()  # data.path is an h5 file of TVSum or SumMe
    config.data.summaries.dataset = ""  # "tvsum" or "summe", for its protocol; "": by the file's name
    config.data.summaries.splits = ""  # JSON of [{train_keys, test_keys}]; "": five folds
    config.data.summaries.number = 0  # of the split or fold, from 0
    config.data.summaries.seed = 0  # of the folds, and of what is for validation
    config.data.vectors = ConfigDict()  # data.path is an .npz of vectors and labels, as of `vgm features`
    config.data.vectors.attributes = (
        0  # numbers that describe a class there, by which it is asked for; 0: which
    )

    config.model = ConfigDict()
    config.model.frames_seen = 2  # frames of a clip that one update looks at; 0: all; "masked_video" sees all
    # Of task "autoregression" they are neighbours. The first `frames_given` are given; of two, it can be told
    # how things move. The discriminator is shown `frames_judged` of them, neighbours again; 0: all.
    config.model.frames_given = 1
    config.model.frames_judged = 0
    config.model.dtype = "float32"  # of the arithmetic; "bfloat16" on TPU and GPU
    # The rest: the module's own fields, `conditions` among them, by which samples can be asked for.
    config.model.generator = ConfigDict({"name": "continuous"})
    config.model.discriminator = ConfigDict({"name": "clip"})
    # Reads off clips the codes that the generator paints; "none": the discriminator alone teaches.
    config.model.encoder = ConfigDict({"name": "scene", "salient": True, "spins": True})
    config.model.classifier = ConfigDict({"name": "clip"})  # of task "classification", as the next two
    # Of "question_answering" it is "answerer", and there is one head, the answers.
    config.model.heads = (("motion", 12),)  # name and classes of each part of the label, a mixed-radix number
    config.model.label = "data"  # or "direction": half of the clips run backwards, and it says which
    config.model.modalities = ("video",)  # of a clip that a trunk is given: "video", "audio", "text"
    config.model.modality_drop = 0.0  # chance that training keeps a modality of a clip from it; one stays
    # The trunk that the tasks of understanding share: the fields of vgm_jax.models.encoders.Trunk.
    config.model.trunk = ConfigDict({"width": 128, "words": 0, "fusion": "bottleneck"})
    config.model.trunk.causal = False  # whether nothing depends on what comes later, so that it can stream
    config.model.trunk.horizon = 1.0  # seconds that each layer of a causal trunk looks back
    # A workdir, or a model that comes with the package, whose trunk this one's starts as; of a generator,
    # what paints and what reads. "": at random.
    config.model.start = ""
    config.model.frozen = False  # whether that stays as it starts, and only what is on top of it learns
    # Of task "summarization": what makes vectors of films (not asked where data.source has them): networks as
    # in evaluate.features, "sound", "words" (of subtitles), "track" (of ShapeShow's object); or a run with
    # a trunk: a workdir, or a model that comes with the package. And how many frames a vector is of.
    # Of task "feature_gan" likewise, of whole clips, where data.source has clips; of how many for training.
    config.model.features = "efficientnet,sound"
    config.model.window = 4
    config.model.vectors = 4096
    # What gives each vector its importance: the fields of vgm_jax.models.summarizers.Scorer.
    config.model.summarizer = ConfigDict({"width": 96, "layers": 2, "dropout": 0.3})

    config.objective = ConfigDict()
    config.objective.name = "relativistic"  # or nonsaturating, minimax, hinge, wasserstein
    config.objective.penalty = "r1r2"  # or none, r1, r2, wgan_gp, and with _fd their finite-difference forms
    config.objective.penalty_weight = 0.5  # gamma
    config.objective.penalty_weight_end = 0.5  # reached by a cosine over optimizer.decay_steps
    # Critics of vectors and of summaries know neither of the next two, nor an end: all is penalised alike.
    config.objective.penalty_stride = 2  # every n-th clip of a batch is penalised
    config.objective.penalty_every = 1  # updates between two penalties (weight scaled to match)
    config.objective.judge_stride = 2  # every n-th clip of a batch is shown to the discriminator
    # Updates before it is shown any, where an encoder teaches: what is not yet sharp is told apart anyway.
    config.objective.judge_from = 1000
    # What it is shown, where an encoder teaches: clips that are imagined, or real ones "repainted", by which
    # pictures become sharp; what is imagined is then learnt only once codes have settled.
    config.objective.judged = "imagined"
    # Updates after which what reads and what paints stay as they are on average: codes hold still, and to
    # imagine them is all that is learnt, from the beginning. 0: never.
    config.objective.settled_from = 2200
    # Of painting what the encoder read; of task "autoregression", of the error to the true frames.
    config.objective.reconstruction_weight = 1200.0
    config.objective.speed_weight = 0.0  # there, of how far the picture as a whole moves, in pixels
    # Of task "autoregression": every n-th clip that the discriminator is shown begins, where it is generated,
    # with a frame of noise alone; 0: none, and a picture is needed to begin with.
    config.objective.start_stride = 0
    config.objective.spins_from = 300  # updates before the encoder learns, in dreams, what spins and how fast
    # Of imagining what it could have read, against critics of codes: rounds of that game an update, clips a
    # round; of how many clips codes are kept for it, every n-th of an update's, at how many of its times.
    config.objective.codes_rounds = 4
    config.objective.codes_batch = 128
    config.objective.codes_memory = 4096
    config.objective.codes_recent = 512  # and, while the encoder learns, used: older ones it would read anew
    config.objective.codes_stride = 4
    config.objective.codes_moments = 8
    # Rounds an update, and which clips' codes are kept, until codes settle. No rounds: until then samples
    # mean nothing. Where real frames repainted are judged they fall to one.
    config.objective.codes_early_rounds = 4
    config.objective.codes_early_stride = 4
    config.objective.codes_penalty_weight = 0.1  # gamma of that game, of what clips show
    # Its final value, as a fraction, reached as rates reach theirs by the game of codes that hold still.
    config.objective.codes_penalty_end = 0.1
    config.objective.motion_penalty_weight = 1.0  # gamma of how that moves
    # Weight of imagining what was read once more, from noise inferred from it: keeps what pictures show from
    # growing alike where they differ by much, such as real footage's. 0: that is not asked.
    config.objective.codes_explained = 0.0
    # The same of how it moves, of clips of which a kind of motion is told: keeps paths of a kind from growing
    # alike.
    config.objective.motion_explained = 0.0
    config.objective.codes_noise = 0.1  # added to codes, which have a mean square of one, before painting
    # In its place the noise on codes of about every second clip, which painters learn to paint all the same,
    # since what is imagined lies beside what is read: "reconstruction" is then of both. 0: of none.
    config.objective.codes_noise_far = 0.0
    # For data of few clips: real and generated ones are changed before the discriminator sees them,
    # "colour,translation,cutout" (DiffAugment, arXiv 2006.10738), or some of them. "": they are not.
    config.objective.augment = ""
    config.objective.augment_p = 1.0  # chance of each change
    # Above 0, such as 0.6 (ADA, arXiv 2006.06676), that chance moves, from 0, to keep E sign D(real) there.
    config.objective.augment_target = 0.0
    config.objective.augment_images = 500_000  # clips in which it could go from 0 to 1
    config.objective.augment_every = 4  # updates between two moves
    config.objective.mixup = 0.0  # of a classifier's clips by two (arXiv 1710.09412): alpha, such as 0.2
    config.objective.label_smoothing = 0.0  # part of a classifier's target that is spread over all classes
    config.objective.layout_weight = 0.0  # of an answerer's saying what is at each place; needs "layout"
    config.objective.hidden = 0.9  # part of a clip's patches that task "masked_video" hides and asks for
    config.objective.whole_weight = 0.0  # there, of telling from the pooled vector how the picture changes
    config.objective.track_weight = 0.0  # of a classifier's squared error at "track"; 0: it does not guess
    # How task "summarization" learns: "supervised", from annotators; or "adversarial" (SUM-GAN), by `name`,
    # `penalty` and `penalty_weight`, towards scores whose mean is summary_length.
    config.objective.summary = "supervised"
    config.objective.summary_length = 0.3
    # Of task "feature_gan", whose game is that of `name`, `penalty` and `penalty_weight`: updates of the
    # critic in one of the generator, each on its part of a batch; beta of f-CLSWGAN's classification loss
    # (0: none), and how many updates its classifier learns alone before the game begins.
    config.objective.critic_rounds = 1
    config.objective.class_weight = 0.0
    config.objective.class_from = 0

    config.optimizer = ConfigDict()
    config.optimizer.generator_rate = 1e-3  # with an encoder: of imagining what clips show
    config.optimizer.motion_rate = 4e-4  # with an encoder: of imagining how that moves
    config.optimizer.discriminator_rate = 4e-4
    config.optimizer.painter_rate = 1e-3  # with an encoder: its rate, and that of what paints
    config.optimizer.painter_b1 = 0.9
    config.optimizer.classifier_rate = 1e-3
    config.optimizer.rate_end = 0.1  # the final rate, as a fraction, reached by a cosine over decay_steps
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.b2_end = 0.99
    config.optimizer.warmup_steps = 100
    config.optimizer.decay_steps = 3200  # fixed on its own, so that a longer run continues a shorter one
    config.optimizer.clip_norm = 0.0  # 0: no clipping
    config.optimizer.ema_decay = 0.998  # of the generator's moving average

    config.train = ConfigDict()
    config.train.steps = 3200
    # Of a sitting, from when the run is opened, compiling included and validation not: it ends after so many,
    # where its steps are not done before. 0: it does not. Of one process alone.
    config.train.minutes = 0.0
    config.train.log_every = 50
    config.train.show_every = 400  # updates between two sample grids in media/

    config.evaluate = ConfigDict()
    # Networks that distances are measured in, by commas (vgm_jax.models.pretrained.NETWORKS); "oracle" also
    # tells which samples show one of ShapeShow's objects, whole and itself throughout.
    config.evaluate.features = "random,oracle"
    config.evaluate.every = 800  # on validation; 0: only at the end
    config.evaluate.clips = 512
    config.evaluate.batch_size = 32
    # Of task "feature_gan": vectors a class that a classifier is given beside the real ones, to see what they
    # are worth; 0: it is not looked at.
    config.evaluate.generated = 100
    config.evaluate.views = (1, 1)  # of a clip that a classifier averages over: parts of its time, squares

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 400
    config.checkpoint.minutes = ()  # and when these minutes of a sitting have passed, such as (1.0, 5.0)
    config.checkpoint.keep = 2  # the last n, beside the best
    # A validation figure, such as "frechet/oracle": the checkpoint of its least value is kept, and used.
    # "": the last is.
    config.checkpoint.best = ""

    config.partition = ConfigDict()
    config.partition.mode = "jit"  # or "pmap"
    config.partition.model = 1  # devices over which each parameter is split
    return config.lock()
